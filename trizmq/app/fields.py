"""Fields: what a type knows by name, to tell a caller which of his it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["unknown_fields"]

_WITH_FIELDS = (inspect.StructType, inspect.DataclassType, inspect.TypedDictType)


def unknown_fields(document: Any, info: inspect.Type) -> Iterator[str]:
    """Yield the names in ``document`` that ``info`` has no field for: ``"pool.sise"``.

    msgspec itself passes over them, unless a Struct forbids them.

    Args:
      document: decoded, not yet converted; what is not a dict has no names.
      info: of `msgspec.inspect.type_info`; without fields of its own it knows every name.

    """
    if not isinstance(info, _WITH_FIELDS) or not isinstance(document, dict):
        return
    known = {field.encode_name: field.type for field in info.fields}
    for name, value in document.items():
        if name not in known:
            yield name
        else:
            yield from (f"{name}.{inner}" for inner in unknown_fields(value, known[name]))
