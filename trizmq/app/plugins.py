"""Plugins: found by name among the installed ones, by import path, or given as objects."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import TYPE_CHECKING, TypeAlias, final

from ..errors import PluginError
from .hooks import Hooks, check_hooks
from .reasons import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "GROUP",
    "Broken",
    "Plugin",
    "Plugins",
    "installed",
    "installed_as",
    "installed_names",
    "load",
]

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
    """An installed plugin that cannot be used, and in one line why.

    Attributes:
      is_ambiguous: two distributions bring one of that name.

    """

    name: str
    reason: str
    distribution: str | None = None
    version: str | None = None
    is_ambiguous: bool = False


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
        different ones have the same name; installed ones too, if none were named.

    """
    if isinstance(references, str):  # its letters would be taken for names
        raise PluginError(f"plugins are a list of them, not {references!r}")
    base = _every() if references is None else Plugins(tuple(map(_refer, references)))
    return Plugins(_distinct([*base.loaded, *map(_load_module, modules)]), base.broken)


def installed() -> Plugins:
    """Load every installed plugin, by name, one by one; the broken ones are told apart."""
    loaded, broken = list[Plugin](), list[Broken]()
    for entry in _entries().values():
        if isinstance(entry, Broken):
            broken.append(entry)
            continue
        try:
            loaded.append(_load_entry(entry))
        except PluginError as error:
            broken.append(Broken(entry.name, str(error), *_origin(entry)))
    return Plugins(_distinct(loaded), tuple(broken))


def _every() -> Plugins:
    plugins = installed()
    for broken in plugins.broken:
        if broken.is_ambiguous:  # to serve without it might be to serve without its guard
            raise PluginError(f"{broken.reason}: uninstall one, or name those to load")
        LOGGER.warning("plugin %r is left out: %s", broken.name, broken.reason)
    return plugins


def installed_names() -> tuple[str, ...]:
    """Return the names of the installed plugins, broken or not; loads none."""
    return tuple(_entries())


def installed_as(module: object) -> frozenset[str]:
    """Return the names by which ``module``, a loaded plugin's, is installed; loads none."""
    entries = [entry for entry in _entries().values() if isinstance(entry, EntryPoint)]
    return frozenset(entry.name for entry in entries if _refers_to(entry, module))


def _refers_to(entry: EntryPoint, module: object) -> bool:
    path, _, attributes = entry.value.partition(":")
    found: object = sys.modules.get(path.strip())
    for attribute in filter(None, attributes.strip().split(".")):
        found = getattr(found, attribute, None)
    return found is module


def _entries() -> dict[str, EntryPoint | Broken]:
    """Return the entry points of plugins, by name."""
    entries: dict[str, EntryPoint | Broken] = {}
    for entry in sorted(_read_entries(), key=lambda entry: entry.name):
        taken = entries.setdefault(entry.name, entry)
        if _origin(taken) != _origin(entry):
            both = f"{_origin(taken)[0]} and {_origin(entry)[0]}"
            reason = f"two distributions bring a plugin {entry.name!r}: {both}"
            entries[entry.name] = Broken(entry.name, reason, is_ambiguous=True)
    return entries


def _read_entries() -> Iterable[EntryPoint | Broken]:
    try:
        return entry_points(group=GROUP)
    except Exception:  # one distribution that cannot be read hides all the others
        return _read_one_by_one()


def _read_one_by_one() -> Iterator[EntryPoint | Broken]:
    read = set[str]()
    for distribution in distributions():
        name = str(distribution.metadata["Name"])
        if name in read:
            continue
        read.add(name)
        try:
            yield from distribution.entry_points.select(group=GROUP)
        except Exception as error:
            if GROUP in (distribution.read_text("entry_points.txt") or ""):
                reason = f"its entry points cannot be read: {one_line(error)}"
                yield Broken(name, reason, name, distribution.version)


def _origin(entry: EntryPoint | Broken) -> tuple[str | None, str | None]:
    if isinstance(entry, Broken):
        return (entry.distribution, entry.version)
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
    entry = entries[name]
    if isinstance(entry, Broken):
        raise PluginError(entry.reason)
    return _named_or_broken(name, lambda: _load_entry(entry), f"; {there}")


def _load_module(path: str) -> Plugin:
    return _named_or_broken(path, lambda: _checked(path, _imported(path, import_module)))


def _named_or_broken(name: str, load_it: Callable[[], Plugin], hint: str = "") -> Plugin:
    try:
        return load_it()
    except PluginError as error:
        raise PluginError(f"plugin {name!r} is broken: {error}{hint}") from error


def _load_entry(entry: EntryPoint) -> Plugin:
    if entry.pattern.match(entry.value) is None:
        raise PluginError(f"its entry point is no module, and no module:object: {entry.value!r}")
    module = _imported(entry.value, lambda _: entry.load())
    return _checked(entry.name, module, *_origin(entry))


def _imported(path: str, load_it: Callable[[str], object]) -> object:
    try:
        return load_it(path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module that takes itself for a script ends in SystemExit
        package = path.partition(":")[0].partition(".")[0]
        raise PluginError(f"module {path!r}: {one_line(error, package)}") from error


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
