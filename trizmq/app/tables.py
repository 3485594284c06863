"""Tables: a plugin's settings, `[plugin.NAME]`, validated against the type it declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import ConfigError, PluginError
from .type_tree import fill_defaults, holds_dataclass, misfits

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["read_table"]

_RECORDS = (msgspec.inspect.StructType, msgspec.inspect.DataclassType)


def read_table(plugin: str, kind: Any, table: Mapping[str, Any]) -> Any:
    """Return ``table`` as an instance of ``kind``.

    Args:
      plugin: the name of the plugin, for errors.
      kind: the result of the plugin's `trizmq_config`.
      table: as read from TOML.

    Raises:
      ConfigError: if a key is unknown, missing or of the wrong type; names plugin and key.
      PluginError: if ``kind`` is not a msgspec Struct or dataclass type.

    """
    info = _info(plugin, kind)
    unknown = ", ".join(f"`{name}`" for name in misfits(table, info).unknown)
    if unknown:
        known = ", ".join(field.encode_name for field in info.fields)
        raise ConfigError(f"[plugin.{plugin}]: unknown key {unknown}; known keys: {known}")
    try:
        settings = msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"[plugin.{plugin}]: {error}") from error
    if holds_dataclass(info):
        fill_defaults(settings)
    return settings


def _info(plugin: str, kind: Any) -> msgspec.inspect.StructType | msgspec.inspect.DataclassType:
    try:
        info = msgspec.inspect.type_info(kind)
    except (TypeError, NameError) as error:
        raise PluginError(f"plugin {plugin!r}: trizmq_config: {error}") from error
    if not isinstance(info, _RECORDS):
        raise PluginError(f"plugin {plugin!r}: trizmq_config returned no Struct or dataclass type")
    return info
