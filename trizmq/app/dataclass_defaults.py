"""Dataclass defaults: values that msgspec leaves to the class when it decodes a dataclass."""

# msgspec (0.22) does not call `__init__`, and does not set a field whose default is a plain
# value. Reading such a field finds the class attribute, but `__dict__` lacks it, and msgspec and
# orjson encode `__dict__`. A handler that returns its argument would lose fields.

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import inspect

from .type_tree import every_type

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["fill_defaults", "holds_dataclass"]

_SCALARS: Final = frozenset({bool, float, int, str, type(None)})


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
