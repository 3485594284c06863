"""The type tree: msgspec's view of an annotation, walked to its last leaf.

Whatever asks what is inside a type asks here, so that nothing is seen at one level and missed
at the next. The tree is read by what its nodes are made of, not by their kinds: a kind that a
later msgspec adds is walked too.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import inspect

__all__ = ["Misfits", "alternatives", "class_of", "every_type", "misfits"]

_Record: TypeAlias = (
    inspect.DataclassType | inspect.NamedTupleType | inspect.StructType | inspect.TypedDictType
)
_Part: TypeAlias = tuple[str, Any, inspect.Type]

_RECORDS: Final = typing.get_args(_Record)
_DICTS: Final = (inspect.DictType, getattr(inspect, "FrozenDictType", inspect.DictType))


def every_type(info: inspect.Type) -> Iterator[inspect.Type]:
    """Yield ``info`` and every type inside it, each once, the outer before the inner ones."""
    seen = set[int]()  # a class that holds itself is one node, which is met again
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
    """Yield what a value of ``info`` may be: the members of a union, out of Meta's extras."""
    if isinstance(info, inspect.Metadata):
        yield from alternatives(info.type)
    elif isinstance(info, inspect.UnionType):
        for member in info.types:
            yield from alternatives(member)
    else:
        yield info


def class_of(info: inspect.Type) -> type:
    """Return the class that ``info`` is of, without its parameters; `object` if of none."""
    found = getattr(info, "cls", object)
    found = typing.get_origin(found) or found
    return found if isinstance(found, type) else object


class Misfits(NamedTuple):
    """The names that a document and its type do not share: ``"pool.sise"``, ``"users[2].nme"``.

    Attributes:
      unknown: those that the document has, and the type has no field for.
      missing: those of required fields that the document lacks.

    """

    unknown: tuple[str, ...]
    missing: tuple[str, ...]


def misfits(document: Any, info: inspect.Type, at_most: int | None = None) -> Misfits:
    """Hold ``document``, decoded and not yet converted, against ``info``, at every level.

    msgspec itself stops at the first misfit, and passes over unknown names unless a Struct
    forbids them.

    Args:
      document: of dicts and lists.
      info: of `msgspec.inspect.type_info`.
      at_most: so many values are looked at, and so many names returned; None: all.

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
    """Return the names that ``record`` knows, and whether each must be there."""
    names = {field.encode_name: field.required for field in record.fields}
    if isinstance(record, inspect.StructType) and record.tag_field is not None:
        names[record.tag_field] = False
    return names


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _records(
    document: Any, info: inspect.Type, at_most: int | None
) -> Iterator[tuple[str, Mapping[str, Any], _Record]]:
    """Yield each object of ``document`` that has a type with fields, and where it is."""
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
    """Yield those of the alternatives that ``document`` may be: of tagged ones, its own."""
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
    """Yield what is directly inside ``document``, where it is, and its type."""
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
