"""Hints: a handler's annotations, resolved and told apart."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any, Final

from msgspec import inspect as shapes

from ..messages import Headers, Principal, Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "allows_none",
    "bare_types",
    "globals_of",
    "is_document",
    "is_scalar",
    "is_scalar_list",
    "resolve",
    "returns_nothing",
    "shape_of_hint",
    "underlying",
]

#: Known in annotations even where linters have had them moved under `if TYPE_CHECKING`.
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
    """Return the function itself: out of partials, decorators and callable objects."""
    if isinstance(handler, functools.partial):
        return underlying(handler.func)
    function = inspect.unwrap(handler)
    return function if inspect.isroutine(function) else type(function).__call__


def globals_of(handler: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the names that the handler's annotations can use."""
    return {**_OURS, **getattr(underlying(handler), "__globals__", {})}


def resolve(annotation: Any, known: Mapping[str, Any]) -> Any:
    """Return the type that ``annotation`` stands for; it may be, or hold, text.

    Raises:
      NameError: if a name in it is not in ``known``.

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
    """Tell whether the handler is annotated ``-> None``."""
    return inspect.signature(handler).return_annotation in (None, "None", types.NoneType)


def bare_types(hint: Any) -> frozenset[Any]:
    """Return the types of a union, out of Annotated and NewType; of any other, itself."""
    if typing.get_origin(hint) is typing.Annotated:
        return bare_types(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return frozenset().union(*map(bare_types, typing.get_args(hint)))
    if isinstance(hint, typing.NewType):
        return bare_types(hint.__supertype__)
    return frozenset([hint])


def allows_none(hint: Any) -> bool:
    """Tell whether None is among the types of ``hint``."""
    return types.NoneType in bare_types(hint)


def shape_of_hint(hint: Any) -> shapes.Type:
    """Return msgspec's view of ``hint``, without None and without Meta's extras.

    Raises:
      TypeError: if it is a type that msgspec does not know.

    """
    info = shapes.type_info(hint)
    while isinstance(info, shapes.Metadata):
        info = info.type
    if not isinstance(info, shapes.UnionType):
        return info
    members = tuple(kind for kind in info.types if not isinstance(kind, shapes.NoneType))
    return members[0] if len(members) == 1 else shapes.UnionType(members)


def is_scalar(info: shapes.Type) -> bool:
    """Tell whether one text in a query can be it."""
    return _is_made_of(info, _SCALARS)


def is_scalar_list(info: shapes.Type) -> bool:
    """Tell whether a name repeated in a query can be it."""
    return isinstance(info, _LISTS) and is_scalar(info.item_type)


def is_document(info: shapes.Type) -> bool:
    """Tell whether a JSON body can be it: anything that is not a scalar."""
    return _is_made_of(info, _DOCUMENTS)


def _is_made_of(info: shapes.Type, kinds: tuple[type[shapes.Type], ...]) -> bool:
    if isinstance(info, shapes.UnionType):
        return all(isinstance(member, kinds) for member in info.types)
    return isinstance(info, kinds)
