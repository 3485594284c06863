"""Hints: resolving and classifying the annotations of handlers."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import inspect as shapes

from ..messages import Headers, Principal, Request, Response
from .type_tree import alternatives, class_of, every_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "allows_none",
    "bare_types",
    "check_none_is_ours",
    "check_not_ours",
    "fixed_names",
    "globals_of",
    "is_document",
    "is_limited",
    "is_scalar",
    "is_scalar_list",
    "place_of",
    "resolve",
    "returns_nothing",
    "shape_of_hint",
    "underlying",
    "without_alias",
]

#: The broker determines the caller. A client must not be able to, not even in part of a body.
_NOT_ALONE: Final = (
    "a Principal or a Request is never read from what a caller sends: the whole annotation is "
    "`Principal`, `Principal | None` or `Request`, not a class derived from one, and not a part "
    "of another type"
)

#: Available in annotations even if a linter has moved them under `if TYPE_CHECKING`.
_OURS: Final = {kind.__name__: kind for kind in (Headers, Principal, Request, Response)}

_SCALARS: Final = (
    shapes.BoolType,
    shapes.DateTimeType,
    shapes.DateType,
    shapes.DecimalType,
    shapes.EnumType,
    shapes.FloatType,
    shapes.IntType,
    shapes.LiteralType,
    shapes.StrType,
    shapes.TimeDeltaType,
    shapes.TimeType,
    shapes.UUIDType,
)
_LISTS: Final = (
    shapes.FrozenSetType,
    shapes.ListType,
    shapes.SetType,
    shapes.VarTupleType,
)
_DOCUMENTS: Final = (
    *_LISTS,
    shapes.DataclassType,
    shapes.DictType,
    shapes.NamedTupleType,
    shapes.StructType,
    shapes.TupleType,
    shapes.TypedDictType,
)


def underlying(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function inside partials, decorators and callable objects."""
    *_, function = _layers(handler)
    return function if inspect.isroutine(function) else type(function).__call__


def fixed_names(handler: Callable[..., Any]) -> frozenset[str]:
    """Return the names of the arguments bound by partials, which callers cannot set."""
    names = set[str]()
    for layer in _layers(handler):
        method = getattr(layer, "__partialmethod__", getattr(layer, "_partialmethod", None))
        for part in (layer, method):
            if isinstance(part, (functools.partial, functools.partialmethod)):
                names.update(part.keywords)
    return frozenset(names)


def _layers(handler: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Yield ``handler`` and the layers inside it, ending with the function itself."""
    layer: Any = handler
    seen = set[int]()
    while id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        is_partial = isinstance(layer, functools.partial)
        layer = layer.func if is_partial else getattr(layer, "__wrapped__", layer)


def globals_of(handler: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the names that are available in the handler's annotations."""
    function = underlying(handler)
    type_parameters: tuple[Any, ...] = getattr(function, "__type_params__", ())
    parameters = {one.__name__: one for one in type_parameters}
    return {**_OURS, **getattr(function, "__globals__", {}), **parameters}


def place_of(handler: Callable[..., Any]) -> str:
    """Return the file and line of the handler's definition, or "" if it has none."""
    code = getattr(underlying(handler), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def resolve(annotation: Any, known: Mapping[str, Any]) -> Any:
    """Return the type that ``annotation`` represents; it may be or contain a string.

    Raises:
      NameError: if it contains a name that is not in ``known``.

    """
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, dict(known), include_extras=True)["it"]
    except NameError as error:
        raise NameError(
            f"`{error.name}` is not known at run time: import it outside `if TYPE_CHECKING`, "
            "at the top of the module"
        ) from error


def returns_nothing(handler: Callable[..., Any]) -> bool:
    """Return whether the handler is annotated ``-> None``."""
    return inspect.signature(handler).return_annotation in (None, "None", types.NoneType)


def bare_types(hint: Any) -> frozenset[Any]:
    """Return the types that a value of ``hint`` can have, without wrappers.

    Unions are split, and Annotated, Final, NewType, type aliases and bound TypeVars are
    unwrapped.
    """
    return frozenset(bare for bare, _ in _bare(hint))


def is_limited(hint: Any) -> bool:
    """Return whether a type in ``hint`` is constrained: ``Annotated[int, Meta(ge=1)]``."""
    return any(limited for _, limited in _bare(hint))


def _bare(hint: Any, *, limited: bool = False) -> Iterator[tuple[Any, bool]]:
    hint = without_alias(hint)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        limits = any(isinstance(extra, msgspec.Meta) for extra in parts[1:])
        yield from _bare(parts[0], limited=limited or limits)
    elif origin in (typing.Union, types.UnionType):
        for member in parts:
            yield from _bare(member, limited=limited)
    elif origin is typing.Final:
        yield from _bare(parts[0], limited=limited)
    elif isinstance(hint, typing.NewType):
        yield from _bare(hint.__supertype__, limited=limited)
    elif isinstance(hint, typing.TypeVar) and hint.__bound__ is not None:
        yield from _bare(hint.__bound__, limited=limited)
    else:
        yield hint, limited


def without_alias(hint: Any) -> Any:
    """Return the type behind a type alias, with its parameters; other hints are unchanged.

    Aliases are `typing.TypeAliasType` (``type Name = ...``), also from typing_extensions.
    """
    while type(alias := typing.get_origin(hint) or hint).__name__ == "TypeAliasType":
        given = dict(zip(alias.__type_params__, typing.get_args(hint), strict=False))
        hint = alias.__value__
        if isinstance(hint, typing.TypeVar):
            hint = given.get(hint, hint)
        elif given and (wanted := getattr(hint, "__parameters__", None)):
            hint = hint[tuple(given.get(parameter, parameter) for parameter in wanted)]
    return hint


def allows_none(hint: Any) -> bool:
    """Return whether None is among the types of ``hint``."""
    return types.NoneType in bare_types(hint)


def shape_of_hint(hint: Any) -> shapes.Type:
    """Return msgspec's description of ``hint``, without None and without Meta's extras.

    Raises:
      TypeError: if msgspec does not support the type.

    """
    kinds = tuple(alternatives(shapes.type_info(without_alias(hint))))
    some = tuple(kind for kind in kinds if not isinstance(kind, shapes.NoneType)) or kinds
    return some[0] if len(some) == 1 else shapes.UnionType(some)


def is_scalar(info: shapes.Type) -> bool:
    """Return whether a single text from a query can be converted to it."""
    return _is_made_of(info, _SCALARS)


def is_scalar_list(info: shapes.Type) -> bool:
    """Return whether a repeated query parameter can be converted to it."""
    return isinstance(info, _LISTS) and is_scalar(info.item_type)


def is_document(info: shapes.Type) -> bool:
    """Return whether a JSON body can be converted to it: anything but a scalar."""
    return _is_made_of(info, _DOCUMENTS)


def _is_made_of(info: shapes.Type, kinds: tuple[type[shapes.Type], ...]) -> bool:
    return all(isinstance(kind, kinds) for kind in alternatives(info))


def check_not_ours(hint: Any) -> None:
    """Raise if ``hint`` has a `Principal`, a `Request` or a subclass as a member.

    Raises:
      TypeError: if it has.

    """
    if any(map(_is_ours, bare_types(hint))):
        raise TypeError(_NOT_ALONE)


def check_none_is_ours(info: shapes.Type) -> None:
    """Raise TypeError if ``info`` contains one of these at any level."""
    if any(_is_ours(class_of(kind)) for kind in every_type(info)):
        raise TypeError(_NOT_ALONE)


def _is_ours(kind: Any) -> bool:
    bare = typing.get_origin(kind) or kind
    return isinstance(bare, type) and issubclass(bare, (Principal, Request))
