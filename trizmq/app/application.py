"""The app: the loaded plugins, compiled into one function from request to response."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

import trio

from ..errors import ConfigError, HTTPError, PluginError
from ..messages import Headers, Request, Response
from ..name_rules import is_service
from .broker_hooks import compile_admit, compile_admit_reply, compile_on_event
from .failures import answer_failure, complete
from .handlers import Endpoint, compile_endpoint
from .lifespan import lifespan
from .matching import Table
from .plugins import Plugins, installed_as, installed_names, load
from .resources import Resources
from .results import result_writer
from .router import Route, Router
from .tables import read_table

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from ..messages import Precondition
    from .broker_hooks import Admit, OnEvent
    from .plugins import Plugin, Reference

__all__ = ["App"]

_write_late = result_writer(returns_nothing=False)


@final
class App:
    """The routes and hooks of the plugins, compiled.

    Args:
      plugins: loaded plugins, or the argument of `load`: names, modules, objects. None loads
        all installed plugins.
      config: the tables of the plugins, by plugin: ``{"users": {"page_size": 20}}``.
      state_dir: for plugins that keep files. None means the user's own (`trizmq.state_dir`),
        which is created only if a plugin asks for it.
      thread_limit: how many ``def`` handlers may run at once.

    Raises:
      PluginError: if a plugin cannot be loaded, one of its hooks fails, or two plugins
        collide; the error names both.
      ConfigError: if a table does not match the settings of its plugin.

    Attributes:
      plugins: the plugins, in the order in which they were listed.
      routes: the routes of all plugins, in the same order.
      services: the first segments of all patterns.
      public_services: the services that have a public route.
      admit: calls `trizmq_admit` of all plugins; None if no plugin implements it.
      admit_reply: calls `trizmq_admit_reply` of all plugins; None if no plugin implements it.
      on_event: calls `trizmq_on_event` of all plugins.

    """

    def __init__(
        self,
        plugins: Plugins | Iterable[Reference] | None = None,
        *,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        state_dir: Path | None = None,
        thread_limit: int = 40,
    ) -> None:
        loaded = plugins if isinstance(plugins, Plugins) else load(plugins)
        self.plugins: tuple[Plugin, ...] = loaded.loaded
        self._elsewhere = loaded.elsewhere
        self._hooks = loaded.hooks
        self._resources = Resources((one.plugin, one.function) for one in loaded.lifespans)
        self._state_dir = state_dir
        self._configs = self._read_config(config or {})
        self.routes: tuple[Route, ...] = tuple(self._ask_for_routes())
        self.services: frozenset[str] = frozenset(_owners(self.routes))
        self.public_services = frozenset(route.service for route in self.routes if route.public)
        self.admit: Admit | None = compile_admit(self._hooks, self._resources)
        self.admit_reply: Admit | None = compile_admit_reply(self._hooks, self._resources)
        self.on_event: OnEvent = compile_on_event(self._hooks, self._resources)
        self._threads = trio.CapacityLimiter(thread_limit)
        self._table: Table[Endpoint] = Table(
            (route, self._endpoint(route)) for route in self.routes
        )

    @property
    def route_lines(self) -> tuple[str, ...]:
        """All routes as text for display: ``"GET /users/{user_id:int}"``."""
        return tuple(f"{','.join(sorted(route.methods))} {route.pattern}" for route in self.routes)

    async def handle(self, request: Request) -> Response | None:
        """Respond to ``request``, and set its ``path_params`` and ``route``.

        Any number of tasks may call this method inside `lifespan`. Cancelling it cancels the
        handler. It raises only Cancelled, and KeyboardInterrupt on Ctrl-C; any other exception
        from a plugin becomes a response. It is a checkpoint only if the handler is.

        Returns:
          None if the handler will respond later with ``request.later``: see `answer_late`.

        """
        try:
            found = self._table.match(request.method, request.path)
            if found is not None:
                endpoint, request.path_params = found
                response = await endpoint(request)
            else:
                response = self._unmatched(request)
        except BaseException as error:  # our own HTTPError, or from a router's converter
            response = answer_failure(error, request, "no")
        # RFC 9110, section 9.3.2: "the server MUST NOT send content in the response".
        if request.method == "HEAD" and response is not None:
            if response.stream is not None:
                await response.stream.aclose()
            return _without_body(response)
        return response

    def answer_late(self, request: Request, outcome: object) -> Response:
        """Return the response for ``outcome``, from a handler that called ``reply_later``.

        A value is converted as if the handler had returned it, except that the annotation
        ``-> None`` does not apply to it: None means 404. An exception is handled as if the
        handler had raised it.

        Raises:
          Cancelled: if ``outcome`` is or contains one; KeyboardInterrupt: on Ctrl-C.

        """
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            response = complete(_write_late(outcome), request, "maybe")
            if response.stream is not None:
                raise TypeError("a late response cannot be a stream")
        except BaseException as error:  # as in `handle`
            response = answer_failure(error, request, "maybe")
        return _without_body(response) if request.method == "HEAD" else response

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        """Enter the lifespans of all plugins in order, and leave them in reverse order.

        Raises (on entering or leaving):
          PluginError: if a plugin did not return an async context manager.
          Exception: the exception from entering or leaving a lifespan, not in a group.

        """
        return lifespan(self._hooks, self._configs, self._state_dir, self._resources)

    def _read_config(self, config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        kinds = dict(self._hooks.ask("trizmq_config"))
        tables = {self._plugin_of(name): config[name] for name in config}
        if len(tables) < len(config):
            raise ConfigError(f"one plugin has two tables: {', '.join(sorted(config))}")
        for name in tables.keys() - kinds.keys():
            self._refuse_table(name)
        return {name: read_table(name, kind, tables.get(name, {})) for name, kind in kinds.items()}

    def _plugin_of(self, name: str) -> str:
        """Return the name of the loaded plugin that the table ``name`` belongs to.

        A module that was passed as an object has its module name here, and may have another
        name as an installed plugin.
        """
        if all(plugin.name != name for plugin in self.plugins):
            for plugin in self.plugins:
                if name in installed_as(plugin.module):
                    return plugin.name
        return name

    def _refuse_table(self, name: str) -> None:
        if any(plugin.name == name for plugin in self.plugins):
            raise ConfigError(f"[plugin.{name}]: this plugin has no settings")
        # Several processes with different plugins may share one file.
        elsewhere = (plugin.name for plugin in self._elsewhere)
        if name not in elsewhere and name not in installed_names():
            there = ", ".join(plugin.name for plugin in self.plugins) or "none"
            raise ConfigError(f"[plugin.{name}]: there is no such plugin; loaded plugins: {there}")

    def _ask_for_routes(self) -> Iterable[Route]:
        for plugin, answer in self._hooks.ask("trizmq_register_routes"):
            for route in _routes_in(plugin, answer):
                first = route.segments[0] if route.segments else None
                if not (isinstance(first, str) and is_service(first)):
                    raise PluginError(
                        f"{route}, plugin {plugin!r}: a pattern begins with the name of a "
                        "service: 1 to 64 of A-Z a-z 0-9 . _ -"
                    )
                yield replace(route, plugin=plugin)

    def _endpoint(self, route: Route) -> Endpoint:
        answers = self._hooks.ask("trizmq_precondition", route=route)
        return compile_endpoint(
            route,
            [_checked(route, plugin, answer) for plugin, answer in answers],
            self._threads,
            self._resources,
        )

    def _unmatched(self, request: Request) -> Response:
        allowed = self._table.allowed(request.path)
        if not allowed:
            raise HTTPError(404, "no route matches this path")
        fields = {"allow": ", ".join(sorted(allowed | {"OPTIONS"}))}
        if request.method == "OPTIONS":
            return Response(204, Headers(fields))
        raise HTTPError(405, f"this path accepts {fields['allow']}", headers=fields)


def _routes_in(plugin: str, answer: Any) -> Iterable[Route]:
    if isinstance(answer, Router):
        yield from answer.routes
    elif isinstance(answer, Route):
        yield answer
    elif isinstance(answer, Iterable) and not isinstance(answer, str):
        for part in answer:
            yield from _routes_in(plugin, part)
    else:
        raise PluginError(f"plugin {plugin!r}: trizmq_register_routes returned {answer!r}")


def _owners(routes: Iterable[Route]) -> dict[str, str]:
    owners: dict[str, str] = {}
    for route in routes:
        owner = owners.setdefault(route.service, route.plugin)
        if owner != route.plugin:
            both = f"{owner!r} and {route.plugin!r}"
            raise PluginError(f"service {route.service!r} is offered by two plugins: {both}")
    return owners


def _checked(route: Route, plugin: str, answer: Precondition) -> Precondition:
    if not callable(answer):
        raise PluginError(f"{route}: plugin {plugin!r}: its precondition is not callable")
    return answer


def _without_body(response: Response) -> Response:
    return Response(response.status, response.headers, b"")
