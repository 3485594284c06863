"""The hooks: what a plugin can tell trizmq, and what it is told. All of them, nothing else.

A plugin is a module (or any object) with functions of these names, each marked with
`hookimpl`. It names only the arguments it wants. Hooks are asked at start and their answers
compiled; only the broker's two, `trizmq_admit` and `trizmq_on_event`, are called while it serves.
"""

# Light on purpose: the command line reads this file before it knows what it will do.

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, final

import pluggy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import click

    from ..admission import AdmittedCall, Event, Verdict
    from ..messages import Request, Response
    from .patterns import Segment
    from .router import Router

__all__ = [
    "Precondition",
    "Route",
    "hookimpl",
    "trizmq_admit",
    "trizmq_config",
    "trizmq_lifespan",
    "trizmq_on_event",
    "trizmq_precondition",
    "trizmq_register_commands",
    "trizmq_register_routes",
]

#: Marks a plugin's function as the implementation of the hook of that name.
hookimpl = pluggy.HookimplMarker("trizmq")

hookspec = pluggy.HookspecMarker("trizmq")

#: Guards a route: None lets the request pass, a response ends it there.
Precondition: TypeAlias = "Callable[[Request], Response | Awaitable[Response | None] | None]"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One pattern and the handler behind it, as a router was told.

    Attributes:
      methods: upper case: ``("GET",)``.
      pattern: with every prefix: ``"/users/{user_id:int}"``.
      handler: the plugin's function.
      public: whether anybody may call it; for auth plugins to honour.
      scopes: what a principal must have been granted, all of them; likewise.
      inline: a ``def`` handler is called in the Trio thread and must not block.
      name: for listings and logs; the handler's, if none was given.
      plugin: who brought it; empty until it is loaded.
      segments: the pattern, parsed.

    """

    methods: tuple[str, ...]
    pattern: str
    handler: Callable[..., Any]
    public: bool = False
    scopes: tuple[str, ...] = ()
    inline: bool = False
    name: str = ""
    plugin: str = ""
    segments: tuple[Segment, ...] = field(default=(), repr=False)

    @property
    def service(self) -> str:
        """The first segment of the pattern."""
        return self.pattern[1:].partition("/")[0]

    @property
    def doc(self) -> str:
        """The first line of the handler's docstring."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0]

    def __str__(self) -> str:
        owner = f", plugin {self.plugin!r}" if self.plugin else ""
        return f"{','.join(self.methods)} {self.pattern} ({self.name}{owner})"


@hookspec
def trizmq_register_routes() -> Router | Route | Iterable[Router | Route]:
    """Return the routes of this plugin; asked once, at start.

    A service (the first segment of a path) belongs to one plugin: if two offer it, or two
    routes match the same paths, the start stops with a line that names both.
    """
    raise NotImplementedError


@hookspec
def trizmq_precondition(route: Route) -> Precondition | None:
    """Return what guards ``route``, or None to leave it alone; asked once a route, at start.

    The answer is called with each request for that route, once it is found and before the
    handler, in the order in which the plugins are named. If it returns a response, that is
    the response; None lets the request pass to the next one. It may be sync, if it does not
    wait, or async; it may set ``request.principal``. If it raises, the handler is not
    called: an `HTTPError` is answered as such, anything else is a 500.

    Args:
      route: any plugin's, this one's included.

    """
    raise NotImplementedError


@hookspec
def trizmq_admit(call: AdmittedCall, response: Response | None) -> Verdict:
    """Say what the broker does with ``call``; asked in the broker, for every call.

    First when a client's call has been read, before a worker is given it: ``response`` is
    None. An implementation that takes ``response`` is asked again when a worker has
    answered, before the client is sent that; one that takes ``call`` alone is not. The
    plugins are asked in the order in which they are named. None and `Forward` ask the next
    one; the first `Discard`, `Reject` or `SendTo` is the verdict. The principal of a
    `Forward` is the ``call.principal`` of those who are asked after it, and of the request
    that the worker gets; a worker believes nobody else.

    It runs in the broker's loop, with all that a plugin's `trizmq_lifespan` set in context
    variables: it must be a plain function, and must not wait. If it raises, or returns
    what is no verdict, the call is answered 500 and no worker sees it.

    Args:
      call: frozen; its body is not opened.
      response: what a worker has answered, also as ``call.response``.

    """
    raise NotImplementedError


@hookspec
def trizmq_on_event(event: Event) -> None:
    """Be told what happened at the broker: a worker came or was lost, a client went.

    Every plugin is told, in the order in which they are named, in the broker's loop: it
    must be a plain function, and must not wait. What it raises is logged, and nothing else.

    Args:
      event: frozen; ``event.kind`` says what happened.

    """
    raise NotImplementedError


@hookspec
def trizmq_lifespan(state_dir: Path, config: Any) -> AbstractAsyncContextManager[object]:
    """Return an async context manager for what lives as long as the app does.

    Entered before the first request, in the order in which the plugins are named; left
    after the last one, in reverse, whatever ended the server, and as if nothing had: a plugin
    need not put what it does then in a ``finally``. It has five seconds for that. If entering
    raises, the start stops with that exception; if a task of one fails, the server ends with
    that.

    Args:
      state_dir: this plugin may keep files there; mode 0700, shared by all plugins.
      config: what `trizmq_config` asked for, validated; None without it.

    """
    raise NotImplementedError


@hookspec
def trizmq_config() -> type:
    """Return a msgspec Struct or dataclass type: the shape of this plugin's settings.

    The table ``[plugin.NAME]`` of ``trizmq.toml`` is validated against it at start; a wrong
    or unknown key stops the start. Without a table, every field needs a default. The
    instance is the ``config`` of `trizmq_lifespan`.
    """
    raise NotImplementedError


@hookspec
def trizmq_register_commands(cli: click.Group) -> None:
    """Add click commands to the command line.

    Asked whenever the command line needs to know the commands: import what is heavy in
    the commands themselves.

    Args:
      cli: the group behind ``trizmq``; ``cli.add_command(...)``.

    """
    raise NotImplementedError
