"""Plugins: loaded by installed name, by import path, or passed as objects."""

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

    from .hooks import Implementation

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

#: The entry-point group. The name of an entry point is the name of its plugin.
GROUP = "trizmq"

#: Refers to a plugin: the name of an installed one, or the object itself.
Reference: TypeAlias = str | object


@final
@dataclass(frozen=True, slots=True)
class Plugin:
    """A usable plugin.

    Attributes:
      name: the name to load it by, and the name of its table of settings.
      module: the module, or any other object, that contains its hooks.
      distribution: the distribution that contains it, or None.
      version: the version of that distribution.

    """

    name: str
    module: object
    distribution: str | None = None
    version: str | None = None


@final
@dataclass(frozen=True, slots=True)
class Broken:
    """An installed plugin that cannot be used, with a one-line reason.

    Attributes:
      is_ambiguous: two distributions contain a plugin with this name.

    """

    name: str
    reason: str
    distribution: str | None = None
    version: str | None = None
    is_ambiguous: bool = False


@final
@dataclass(frozen=True)
class Plugins:
    """The plugins of one app, in order, and the installed plugins that are broken.

    Attributes:
      elsewhere: plugins that are loaded in another process of this server.

    """

    loaded: tuple[Plugin, ...]
    broken: tuple[Broken, ...] = ()
    elsewhere: tuple[Plugin, ...] = ()

    @cached_property
    def hooks(self) -> Hooks:
        """The hooks that they implement."""
        return Hooks((plugin.name, plugin.module) for plugin in self.loaded)

    @property
    def lifespans(self) -> list[Implementation]:
        """The lifespans that they implement, and those of the plugins elsewhere."""
        there = Hooks((plugin.name, plugin.module) for plugin in self.elsewhere)
        return [*self.hooks.of("trizmq_lifespan"), *there.of("trizmq_lifespan")]

    def with_hooks(self, *hooks: str) -> Plugins:
        """Return the plugins that implement at least one of ``hooks``."""
        names = {found.plugin for hook in hooks for found in self.hooks.of(hook)}
        return Plugins(
            tuple(plugin for plugin in self.loaded if plugin.name in names),
            elsewhere=tuple(plugin for plugin in self.loaded if plugin.name not in names),
        )


def load(references: Iterable[Reference] | None = None, modules: Sequence[str] = ()) -> Plugins:
    """Load plugins in this order: ``references``, then ``modules``.

    A plugin that is listed twice is loaded once.

    Args:
      references: names of installed plugins, modules, or other objects with hooks. None loads
        all installed plugins in alphabetical order; broken ones are logged and skipped.
      modules: import paths.

    Raises:
      PluginError: a one-line error, if a listed plugin is missing or broken, or if two
        different plugins have the same name, including installed ones if none are listed.

    """
    if isinstance(references, str):  # otherwise its letters would be treated as names
        raise PluginError(f"plugins must be a list, not {references!r}")
    base = _every() if references is None else Plugins(tuple(map(_refer, references)))
    return Plugins(_distinct([*base.loaded, *map(_load_module, modules)]), base.broken)


def installed() -> Plugins:
    """Load all installed plugins in alphabetical order, and list the broken ones separately."""
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
        if broken.is_ambiguous:  # serving without it may mean serving without an auth plugin
            raise PluginError(f"{broken.reason}: uninstall one, or name those to load")
        LOGGER.warning("plugin %r is skipped: %s", broken.name, broken.reason)
    return plugins


def installed_names() -> tuple[str, ...]:
    """Return the names of all installed plugins, including broken ones, without loading them."""
    return tuple(_entries())


def installed_as(module: object) -> frozenset[str]:
    """Return the names under which the module ``module`` is installed, without loading it."""
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
            reason = f"two distributions contain a plugin {entry.name!r}: {both}"
            entries[entry.name] = Broken(entry.name, reason, is_ambiguous=True)
    return entries


def _read_entries() -> Iterable[EntryPoint | Broken]:
    try:
        return entry_points(group=GROUP)
    except Exception:  # a single unreadable distribution makes this fail for all
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
    there = f"installed plugins: {', '.join(entries) or 'none'}"
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
        raise PluginError(f"its entry point is neither a module nor module:object: {entry.value!r}")
    module = _imported(entry.value, lambda _: entry.load())
    return _checked(entry.name, module, *_origin(entry))


def _imported(path: str, load_it: Callable[[str], object]) -> object:
    try:
        return load_it(path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module written as a script may raise SystemExit
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
