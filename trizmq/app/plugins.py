"""Plugins: found by name among the installed ones, by import path, or given as objects."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, TypeAlias, final

from ..errors import PluginError
from .hooks import Hooks, check_hooks, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["GROUP", "Broken", "Plugin", "Plugins", "installed", "installed_names", "load"]

LOGGER = logging.getLogger("trizmq.app")

#: The entry-point group; an entry point's name is the plugin's.
GROUP = "trizmq"

#: What stands for a plugin: the name of an installed one, or the thing itself.
Reference: TypeAlias = str | object


@final
@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin that can be used.

    Attributes:
      name: by which it is asked for, and which its settings are under.
      module: what holds its hooks: a module, or any object.
      distribution: which brought it; None if none did.
      version: the distribution's.

    """

    name: str
    module: object
    distribution: str | None = None
    version: str | None = None


@final
@dataclass(frozen=True, slots=True)
class Broken:
    """An installed plugin that cannot be used, and in one line why."""

    name: str
    reason: str
    distribution: str | None = None
    version: str | None = None


@final
@dataclass(frozen=True)
class Plugins:
    """The plugins of one app, in their order, and the installed ones that are broken.

    Attributes:
      elsewhere: the names of those that another process of this server has.

    """

    loaded: tuple[Plugin, ...]
    broken: tuple[Broken, ...] = ()
    elsewhere: frozenset[str] = frozenset()

    @cached_property
    def hooks(self) -> Hooks:
        """What they answer."""
        return Hooks((plugin.name, plugin.module) for plugin in self.loaded)

    def with_hooks(self, *hooks: str) -> Plugins:
        """Return those of them that implement one of ``hooks``."""
        names = {found.plugin for hook in hooks for found in self.hooks.of(hook)}
        return Plugins(
            tuple(plugin for plugin in self.loaded if plugin.name in names),
            elsewhere=frozenset(plugin.name for plugin in self.loaded) - names,
        )


def load(references: Iterable[Reference] | None = None, modules: Sequence[str] = ()) -> Plugins:
    """Load plugins, in this order: ``references``, then ``modules``.

    One that is named twice is loaded once.

    Args:
      references: names of installed plugins, modules, or other objects with hooks. None:
        every installed plugin, by name; those that are broken are logged and left out.
      modules: import paths.

    Raises:
      PluginError: one line, if one that was named is missing or broken, or if two
        different ones have the same name.

    """
    base = _every() if references is None else Plugins(tuple(map(_refer, references)))
    return Plugins(_distinct([*base.loaded, *map(_load_module, modules)]), base.broken)


def installed() -> Plugins:
    """Load every installed plugin, by name, one by one; the broken ones are told apart.

    Raises:
      PluginError: if two distributions bring plugins of one name.

    """
    loaded, broken = list[Plugin](), list[Broken]()
    for entry in _entries().values():
        try:
            loaded.append(_load_entry(entry))
        except PluginError as error:
            broken.append(Broken(entry.name, str(error), *_origin(entry)))
    return Plugins(_distinct(loaded), tuple(broken))


def installed_names() -> tuple[str, ...]:
    """Return the names of the installed plugins, broken or not; loads none."""
    return tuple(_entries())


def _every() -> Plugins:
    plugins = installed()
    for broken in plugins.broken:
        LOGGER.warning("plugin %r is left out: %s", broken.name, broken.reason)
    return plugins


def _entries() -> dict[str, EntryPoint]:
    entries: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        taken = entries.setdefault(entry.name, entry)
        if _origin(taken) != _origin(entry):
            both = f"{_origin(taken)[0]} and {_origin(entry)[0]}"
            raise PluginError(f"two distributions bring a plugin {entry.name!r}: {both}")
    return entries


def _origin(entry: EntryPoint) -> tuple[str | None, str | None]:
    return (entry.dist.name, entry.dist.version) if entry.dist else (None, None)


def _refer(reference: Reference) -> Plugin:
    if isinstance(reference, str):
        return _load_named(reference)
    name = str(getattr(reference, "__name__", type(reference).__name__))
    return _named_or_broken(name, lambda: _checked(name, reference))


def _load_named(name: str) -> Plugin:
    entries = _entries()
    there = f"installed are: {', '.join(entries) or 'none'}"
    if name not in entries:
        raise PluginError(f"no plugin {name!r} is installed; {there}")
    return _named_or_broken(name, lambda: _load_entry(entries[name]), f"; {there}")


def _load_module(path: str) -> Plugin:
    return _named_or_broken(path, lambda: _checked(path, _imported(path, import_module)))


def _named_or_broken(name: str, load_it: Callable[[], Plugin], hint: str = "") -> Plugin:
    try:
        return load_it()
    except PluginError as error:
        raise PluginError(f"plugin {name!r} is broken: {error}{hint}") from error


def _load_entry(entry: EntryPoint) -> Plugin:
    module = _imported(entry.value, lambda _: entry.load())
    return _checked(entry.name, module, *_origin(entry))


def _imported(path: str, load_it: Callable[[str], object]) -> object:
    try:
        return load_it(path)
    # SystemExit: of a module that takes itself for a script.
    except (Exception, SystemExit) as error:
        raise PluginError(f"module {path!r}: {one_line(error)}") from error


def _checked(name: str, module: object, *origin: str | None) -> Plugin:
    check_hooks(name, module)
    return Plugin(name, module, *origin)


def _distinct(plugins: Iterable[Plugin]) -> tuple[Plugin, ...]:
    by_name: dict[str, Plugin] = {}
    for plugin in plugins:
        if any(plugin.module is known.module for known in by_name.values()):
            continue
        if plugin.name in by_name:
            raise PluginError(f"two different plugins are named {plugin.name!r}")
        by_name[plugin.name] = plugin
    return tuple(by_name.values())
