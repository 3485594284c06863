"""Hooks: the implementations in the loaded plugins, in the order of the plugins."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, final

import pluggy

from ..errors import PluginError
from . import hookspecs
from .hookspecs import HOOKS_VERSION
from .reasons import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .resources import Resources

__all__ = ["Hooks", "Implementation", "check_hooks"]

#: The prefix of all hook names.
_PREFIX: Final = "trizmq_"


@final
class Implementation:
    """One plugin's implementation of one hook.

    Attributes:
      plugin: the name of the plugin.
      hook: the name of the hook.

    """

    def __init__(self, hook: str, found: pluggy.HookImpl) -> None:
        self.plugin = found.plugin_name
        self.hook = hook
        self._found = found

    def wants(self, argument: str) -> bool:
        """Return whether the plugin's function has the parameter ``argument``."""
        return argument in self._found.argnames

    @property
    def function(self) -> Callable[..., Any]:
        """The plugin's function."""
        return self._found.function

    def asking(self, *arguments: str, resources: Resources) -> Callable[..., object]:
        """Return the plugin's function with exactly these positional ``arguments``.

        Its keyword-only arguments are ``resources``. Use it for hooks that are called often:
        with one argument and no resources, it is the function itself.

        Raises:
          PluginError: if no lifespan yields the type of a keyword-only argument.

        """
        function, wanted = self.function, [one for one in arguments if self.wants(one)]
        try:
            more = resources.keywords_of(function)
        except TypeError as error:
            raise PluginError(f"plugin {self.plugin!r}: {self.hook}: {error}") from error
        if wanted == list(arguments) and len(wanted) == 1:
            return function if more is None else lambda value: function(value, **more)

        def ask(*values: object) -> object:
            given = dict(zip(arguments, values, strict=True))
            return function(**{name: given[name] for name in wanted}, **(more or {}))

        return ask

    def ask(self, **arguments: Any) -> Any:
        """Call the plugin's function with the ``arguments`` that it declares.

        Raises:
          PluginError: if it raises an exception; the error names plugin and hook.

        """
        wanted = {name: arguments[name] for name in self._found.argnames}
        try:
            return self._found.function(**wanted)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a hook may call sys.exit
            package = str(self._found.function.__module__).partition(".")[0]
            reason = one_line(error, package)
            raise PluginError(f"plugin {self.plugin!r}: {self.hook}: {reason}") from error


@final
class Hooks:
    """The hooks of a set of plugins.

    Args:
      plugins: the name and module (or other object) of each, already validated with
        `check_hooks`.

    Raises:
      PluginError: if a plugin cannot be used anyway, for example because it equals another.

    """

    def __init__(self, plugins: Iterable[tuple[str, object]]) -> None:
        self._manager = _Manager()
        # pluggy calls the last registered plugin first.
        for name, plugin in reversed(list(plugins)):
            try:
                self._manager.register(plugin, name)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a plugin's own attributes may raise anything
                raise PluginError(f"plugin {name!r}: {one_line(error)}") from error

    def of(self, hook: str) -> Iterator[Implementation]:
        """Yield the implementations of ``hook`` in the order in which to call them.

        That is the order of the plugins, except for those marked ``tryfirst`` or ``trylast``.
        """
        caller = getattr(self._manager.hook, hook)
        for found in reversed(caller.get_hookimpls()):
            yield Implementation(hook, found)

    def ask(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Return the name of each plugin with its result, without results of None.

        Raises:
          PluginError: if one raises an exception; the error names plugin and hook.

        """
        answers = [(found.plugin, found.ask(**arguments)) for found in self.of(hook)]
        return [(plugin, answer) for plugin, answer in answers if answer is not None]


def check_hooks(name: str, plugin: object) -> None:
    """Validate the hooks of ``plugin`` against the specifications.

    Raises:
      PluginError: a one-line error: an unknown hook or argument, a missing mark, a wrapper,
        no hook at all, or attributes that cannot be read.

    """
    try:
        _check(name, plugin)
    except (KeyboardInterrupt, PluginError):
        raise
    except pluggy.PluginValidationError as error:
        raise PluginError(" ".join(str(error).split())) from error
    except BaseException as error:  # for example from a property or `__dir__`
        raise PluginError(f"its hooks cannot be read: {one_line(error)}") from error


def _check(name: str, plugin: object) -> None:
    _check_version(plugin)
    _check_admit(plugin)
    manager = _Manager()
    manager.register(plugin, name)
    manager.check_pending()
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        if any(found.wrapper or found.hookwrapper for found in caller.get_hookimpls()):
            raise PluginError(f"{caller.name} cannot be a hook wrapper")
    _check_marks(plugin, {caller.name for caller in callers})


def _check_version(plugin: object) -> None:
    # Checked first: a newer hook would be refused as unknown, which explains less.
    wanted = getattr(plugin, "trizmq_hooks", None)
    if wanted is None:
        return
    if type(wanted) is not int:
        raise PluginError(f"trizmq_hooks is a version, such as {HOOKS_VERSION}, not {wanted!r}")
    if wanted > HOOKS_VERSION:
        raise PluginError(
            f"it needs version {wanted} of the hooks, and this trizmq has {HOOKS_VERSION}: "
            "install a newer trizmq"
        )


def _check_admit(plugin: object) -> None:
    # `trizmq_admit` was once called for responses too, if it declared them.
    hook = getattr(plugin, "trizmq_admit", None)
    if inspect.isroutine(hook) and "response" in inspect.signature(hook).parameters:
        raise PluginError(
            "trizmq_admit takes no `response`: rename the part that reads responses to "
            "trizmq_admit_reply"
        )


def _check_marks(plugin: object, marked: set[str]) -> None:
    for attribute in dir(plugin):
        if not attribute.startswith(_PREFIX) or attribute in marked:
            continue
        if inspect.isroutine(getattr(plugin, attribute, None)):
            raise PluginError(f"{attribute} lacks its mark, @trizmq.hookimpl")
    if not marked:
        raise PluginError("it implements no hook: is it a trizmq plugin?")


@final
class _Manager(pluggy.PluginManager):
    def __init__(self) -> None:
        super().__init__("trizmq")
        self.add_hookspecs(hookspecs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """Return the options of the hook ``name``, or None if it is not a hook.

        pluggy reads every attribute of a plugin. A property that raises an exception is not
        an error, unless it has the name of a hook.
        """
        try:
            return super().parse_hookimpl_opts(plugin, name)
        except KeyboardInterrupt:
            raise
        except BaseException:
            if name.startswith(_PREFIX):
                raise
            return None
