"""The type tree: msgspec's description of an annotation, at all levels.

All code that examines the inside of a type uses this module, so that every level is treated
alike. The tree is walked by the fields of its nodes, not by their kinds, so kinds that a later
version of msgspec adds are walked too.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Misfits",
    "alternatives",
    "class_of",
    "every_type",
    "fill_defaults",
    "holds_dataclass",
    "misfits",
]


_Record: TypeAlias = (
    inspect.DataclassType | inspect.NamedTupleType | inspect.StructType | inspect.TypedDictType
)

_Part: TypeAlias = tuple[str, Any, inspect.Type]

_RECORDS: Final = typing.get_args(_Record)

_DICTS: Final = (inspect.DictType, getattr(inspect, "FrozenDictType", inspect.DictType))


def every_type(info: inspect.Type) -> Iterator[inspect.Type]:
    """Yield ``info`` and every type inside it once, outer types before inner ones."""
    seen = set[int]()  # a recursive class is a single node that occurs again
    level = [info]
    while level:
        inner = list[inspect.Type]()
        for kind in level:
            if id(kind) not in seen:
                seen.add(id(kind))
                yield kind
                inner += _inner_types(kind)
        level = inner


def _inner_types(info: inspect.Type) -> Iterator[inspect.Type]:
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, inspect.Field):
                yield part.type
            elif isinstance(part, inspect.Type):
                yield part


def alternatives(info: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the types that a value of ``info`` can have: union members, without Meta's extras."""
    if isinstance(info, inspect.Metadata):
        yield from alternatives(info.type)
    elif isinstance(info, inspect.UnionType):
        for member in info.types:
            yield from alternatives(member)
    else:
        yield info


def class_of(info: inspect.Type) -> type:
    """Return the class of ``info``, without parameters; `object` if it has none."""
    found = getattr(info, "cls", object)
    found = typing.get_origin(found) or found
    return found if isinstance(found, type) else object


class Misfits(NamedTuple):
    """The names in which a document and its type differ: ``"pool.sise"``, ``"users[2].nme"``.

    Attributes:
      unknown: names in the document for which the type has no field.
      missing: names of required fields that the document lacks.

    """

    unknown: tuple[str, ...]
    missing: tuple[str, ...]


def misfits(document: Any, info: inspect.Type, at_most: int | None = None) -> Misfits:
    """Compare ``document``, decoded and not yet converted, with ``info`` at every level.

    msgspec itself stops at the first error, and ignores unknown names unless a Struct forbids
    them.

    Args:
      document: consists of dicts and lists.
      info: from `msgspec.inspect.type_info`.
      at_most: limits the values that are examined and the names that are returned; None means
        no limit.

    """
    unknown, missing = list[str](), list[str]()
    for path, there, record in _records(document, info, at_most):
        known = _names(record)
        strange = (_joined(path, name) for name in there if name not in known)
        lacking = (_joined(path, name) for name in known if known[name] and name not in there)
        unknown += islice(strange, at_most)
        missing += islice(lacking, at_most)
    return Misfits(tuple(unknown[:at_most]), tuple(missing[:at_most]))


def _names(record: _Record) -> dict[str, bool]:
    """Return the field names of ``record``, and whether each is required."""
    names = {field.encode_name: field.required for field in record.fields}
    if isinstance(record, inspect.StructType) and record.tag_field is not None:
        names[record.tag_field] = False
    return names


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _records(
    document: Any, info: inspect.Type, at_most: int | None
) -> Iterator[tuple[str, Mapping[str, Any], _Record]]:
    """Yield each object in ``document`` whose type has fields, with its path and type."""
    levels: list[Iterator[_Part]] = [iter([("", document, info)])]
    looked_at = 0
    while levels and looked_at != at_most:
        part = next(levels[-1], None)
        if part is None:
            levels.pop()
            continue
        looked_at += 1
        path, value, inner = part
        for kind in _fitting(value, inner):
            if isinstance(value, Mapping) and isinstance(kind, _RECORDS):
                yield path, value, kind
            levels.append(_parts(path, value, kind))


def _fitting(document: Any, info: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the alternatives that fit ``document``; for tagged types, only the one it names."""
    kinds = list(alternatives(info))
    for kind in kinds:
        is_array = isinstance(kind, inspect.NamedTupleType) or getattr(kind, "array_like", False)
        if isinstance(document, Mapping):
            tag_field, tag = getattr(kind, "tag_field", None), getattr(kind, "tag", None)
            is_other = tag_field is not None and document.get(tag_field, tag) != tag
            if not is_array and not (is_other and len(kinds) > 1):
                yield kind
        elif isinstance(document, (list, tuple)) and (is_array or not isinstance(kind, _RECORDS)):
            yield kind


def _parts(path: str, document: Any, kind: inspect.Type) -> Iterator[_Part]:
    """Yield the direct members of ``document``, with their paths and types."""
    if isinstance(kind, _RECORDS):
        yield from _parts_of_record(path, document, kind)
    elif isinstance(document, Mapping):
        if isinstance(kind, _DICTS):
            for name, value in document.items():
                yield _joined(path, name), value, kind.value_type
    elif isinstance(kind, inspect.TupleType):
        for index, (value, inner) in enumerate(zip(document, kind.item_types, strict=False)):
            yield f"{path}[{index}]", value, inner
    elif isinstance(kind, inspect.CollectionType):
        for index, value in enumerate(document):
            yield f"{path}[{index}]", value, kind.item_type


def _parts_of_record(path: str, document: Any, record: _Record) -> Iterator[_Part]:
    if isinstance(document, Mapping):
        for field in record.fields:
            name = field.encode_name
            if name in document:
                yield _joined(path, name), document[name], field.type
        return
    tagged = isinstance(record, inspect.StructType) and record.tag_field is not None
    for index, (value, field) in enumerate(
        zip(document[1:] if tagged else document, record.fields, strict=False)
    ):
        yield f"{path}[{index + tagged}]", value, field.type


_SCALARS: Final = frozenset({bool, float, int, str, type(None)})


# msgspec (0.22) does not call `__init__`, and does not set a field whose default is a plain
# value. Reading such a field finds the class attribute, but `__dict__` lacks it, and msgspec and
# orjson encode `__dict__`. A handler that returns its argument would lose fields.


def holds_dataclass(info: inspect.Type) -> bool:
    """Return whether ``info`` is a dataclass, or contains one."""
    return any(isinstance(kind, inspect.DataclassType) for kind in every_type(info))


def fill_defaults(value: Any) -> None:
    """Set the missing defaults in every dataclass in ``value``."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            fill_defaults(_filled(value, field))
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            fill_defaults(getattr(value, name, None))
    elif isinstance(value, dict):
        _fill_each(value.values())
    elif isinstance(value, (list, tuple, set, frozenset)):
        _fill_each(value)


def _fill_each(values: Iterable[Any]) -> None:
    for value in values:
        if type(value) not in _SCALARS:  # avoids a call for each of a million numbers
            fill_defaults(value)


def _filled(value: Any, field: dataclasses.Field[Any]) -> Any:
    # Bypass `__setattr__`, which frozen dataclasses forbid. Those with slots lack no field.
    if field.default is not dataclasses.MISSING and hasattr(value, "__dict__"):
        vars(value).setdefault(field.name, field.default)
    return getattr(value, field.name, None)
