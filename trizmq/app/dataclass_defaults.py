"""Dataclass defaults: what msgspec leaves to the class when it decodes a dataclass."""

# msgspec (0.22) does not call `__init__`, and does not set a field whose default is a plain
# value: reading it finds the class attribute, but `__dict__` lacks it, and `__dict__` is what
# msgspec and orjson encode. A handler that returns what it was given would lose fields.

from __future__ import annotations

import dataclasses
from typing import Any

from msgspec import inspect

__all__ = ["fill_defaults", "holds_dataclass"]


def holds_dataclass(info: inspect.Type) -> bool:
    """Tell whether ``info`` is of a dataclass, or of a list, dict or union of some."""
    match info:
        case inspect.DataclassType():
            return True
        case inspect.UnionType(types=types):
            return any(map(holds_dataclass, types))
        case inspect.DictType(value_type=inner) | inspect.CollectionType(item_type=inner):
            return holds_dataclass(inner)
        case _:
            return False


def fill_defaults(value: Any) -> None:
    """Set, in the dataclasses in ``value`` and in their fields, the defaults that are not."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            fill_defaults(_filled(value, field))
    elif isinstance(value, dict):
        for inner in value.values():
            fill_defaults(inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            fill_defaults(inner)


def _filled(value: Any, field: dataclasses.Field[Any]) -> Any:
    # Past `__setattr__`, which a frozen one has forbidden; one with slots lacks nothing.
    if field.default is not dataclasses.MISSING and hasattr(value, "__dict__"):
        vars(value).setdefault(field.name, field.default)
    return getattr(value, field.name)
