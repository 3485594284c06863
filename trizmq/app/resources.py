"""Resources: the values that lifespans yield, for arguments annotated with their types."""

# The type that a lifespan yields is read from its annotation, at start, because handlers are
# compiled before any lifespan is entered. Arguments of other types are not examined again.

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, final

from ..errors import PluginError
from ..messages import Headers, Principal, Request, Response
from .hints import bare_types, globals_of, is_scalar, resolve, shape_of_hint, underlying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


__all__ = ["Resource", "Resources"]

_HOLDERS: Final = (AsyncGenerator, AsyncIterator, AbstractAsyncContextManager)

#: Available in annotations even if a linter has moved them under `if TYPE_CHECKING`.
_KNOWN: Final = {kind.__name__: kind for kind in _HOLDERS}

#: Types that are not a plugin's own: arguments of these types come from the request.
_COMMON: Final = frozenset(
    {"abc", "builtins", "collections.abc", "contextlib", "msgspec", "typing"}
)
_OURS: Final = (Headers, Principal, Request, Response)


@final
class Resource:
    """The value that one lifespan yields.

    Attributes:
      plugin: the name of the plugin.
      value: the value, while the lifespan is entered.

    """

    __slots__ = ("_is_entered", "_takers", "plugin", "value")

    value: Any

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self._is_entered = False
        self._takers: list[tuple[dict[str, Any], str]] = []

    def __getattr__(self, name: str) -> Any:  # only called for an attribute that is not set
        raise RuntimeError(f"the lifespan of plugin {self.plugin!r} is not entered")

    def keep(self, value: object) -> None:
        """Make ``value`` available."""
        self.value, self._is_entered = value, True
        for arguments, name in self._takers:
            arguments[name] = value

    def drop(self) -> None:
        """Make the value unavailable again."""
        self._is_entered = False
        del self.value
        for arguments, name in self._takers:
            del arguments[name]

    def fill(self, arguments: dict[str, Any], name: str) -> None:
        """Set ``name`` in ``arguments`` to the value while the lifespan is entered."""
        self._takers.append((arguments, name))
        if self._is_entered:
            arguments[name] = self.value


@final
class Resources:
    """The resources of all plugins, by type.

    Args:
      lifespans: the name of each plugin that has one, and its `trizmq_lifespan`.

    Raises:
      PluginError: if the annotation of a lifespan cannot be resolved, or two lifespans yield the
        same type; the error names both plugins.

    """

    def __init__(self, lifespans: Iterable[tuple[str, Callable[..., Any]]]) -> None:
        self._by_type: dict[Any, Resource] = {}
        self._by_plugin: dict[str, Resource] = {}
        for plugin, lifespan in lifespans:
            kind = _yielded(plugin, lifespan)
            if kind is None:
                continue
            resource = self._by_plugin[plugin] = Resource(plugin)
            taken = self._by_type.setdefault(kind, resource)
            if taken is not resource:
                both = f"{taken.plugin!r} and {plugin!r}"
                raise PluginError(f"two lifespans yield a {_name(kind)}: of plugins {both}")

    def of(self, plugin: str) -> Resource | None:
        """Return the resource from the lifespan of ``plugin``, if it has one."""
        return self._by_plugin.get(plugin)

    def find(self, hint: Any) -> Resource | None:
        """Return the resource for an argument with the annotation ``hint``, or None.

        The annotation is the type itself or a base class of it, with the same wrappers as any
        other annotation.

        Raises:
          TypeError: if the type is part of a union, or several lifespans yield a subclass of it.

        """
        if not self._by_type:
            return None
        kinds = bare_types(hint) - {NoneType}
        found = {one for kind in kinds for one in self._of_type(kind)}
        if not found:
            return None
        if len(kinds) > 1 or len(found) > 1:
            plugins = " and ".join(sorted(repr(one.plugin) for one in found))
            raise TypeError(
                f"it can have several types, and lifespans yield some of them: {plugins}"
            )
        return found.pop()

    def _of_type(self, wanted: Any) -> list[Resource]:
        exact = self._by_type.get(wanted)
        if exact is not None:
            return [exact]
        if not isinstance(wanted, type) or wanted.__module__ in _COMMON:
            return []
        return [
            resource
            for kind, resource in self._by_type.items()
            if wanted in getattr(kind, "__mro__", ())
        ]

    def keywords_of(self, function: Callable[..., Any]) -> dict[str, Any] | None:
        """Return a dict with the resources for the keyword-only arguments of ``function``.

        The dict is filled while the lifespans are entered. None if it has no such arguments.

        Args:
          function: a guard, or the implementation of a hook.

        Raises:
          TypeError: if an argument has no default and no lifespan yields its type.

        """
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # some builtins have none
            return None
        keywords: dict[str, Any] = {}
        found = {
            parameter.name: self._for(parameter, function)
            for parameter in parameters
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        wanted = {name: resource for name, resource in found.items() if resource is not None}
        for name, resource in wanted.items():
            resource.fill(keywords, name)
        return keywords if wanted else None

    def _for(self, parameter: inspect.Parameter, function: Callable[..., Any]) -> Resource | None:
        is_optional = parameter.default is not inspect.Parameter.empty
        try:
            found = self.find(resolve(parameter.annotation, globals_of(function)))
        except Exception as error:  # any error from evaluating a plugin's annotations
            if is_optional:
                return None
            raise TypeError(f"argument `{parameter.name}`: {error}") from error
        if found is None and not is_optional:
            raise TypeError(f"argument `{parameter.name}`: no lifespan yields its type")
        return found


def _yielded(plugin: str, lifespan: Callable[..., Any]) -> Any:
    """Return the type that a lifespan yields, or None if it has no type of its own."""
    function = underlying(lifespan)
    annotation = getattr(function, "__annotations__", {}).get("return")
    if annotation is None:
        return None
    try:
        hint = resolve(annotation, {**_KNOWN, **globals_of(function)})
        parts = typing.get_args(hint)
        if typing.get_origin(hint) not in _HOLDERS or not parts:
            return None
        kinds = bare_types(parts[0]) - {NoneType}
        return next(iter(kinds)) if len(kinds) == 1 and all(map(_is_own, kinds)) else None
    except Exception as error:  # any error from evaluating a plugin's annotation
        raise PluginError(f"plugin {plugin!r}: trizmq_lifespan: {error}") from error


def _is_own(kind: Any) -> bool:
    bare = typing.get_origin(kind) or kind
    if not isinstance(bare, type) or bare.__module__ in _COMMON or issubclass(bare, _OURS):
        return False
    try:
        return not is_scalar(shape_of_hint(kind))
    except TypeError:
        return True  # it is unknown to msgspec


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)
