"""The specifications of all hooks.

A plugin is a module (or any other object) with functions that have these names and are marked
with `hookimpl`. Each declares only the arguments that it uses. Hooks are called at start and
their results compiled; only `trizmq_admit`, `trizmq_admit_reply` and `trizmq_on_event` are called
while serving.
"""

# Keep this module light: the command line loads it before it knows which command will run.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import click

    from ..hook_values import AdmittedCall, Event, Verdict
    from ..messages import Precondition, Response
    from .router import Route, Router

__all__ = [
    "HOOKS_VERSION",
    "hookimpl",
    "trizmq_admit",
    "trizmq_admit_reply",
    "trizmq_config",
    "trizmq_lifespan",
    "trizmq_on_event",
    "trizmq_precondition",
    "trizmq_register_commands",
    "trizmq_register_routes",
]

#: The version of the hooks. It grows by one when a hook or an argument of a hook is added, and a
#: plugin that needs at least a version declares it: ``trizmq_hooks = 1``.
HOOKS_VERSION: Final = 1

#: Marks a function of a plugin as an implementation of the hook with the same name.
hookimpl = pluggy.HookimplMarker("trizmq")

hookspec = pluggy.HookspecMarker("trizmq")


@hookspec
def trizmq_register_routes() -> Router | Route | Iterable[Router | Route]:
    """Return the routes of this plugin; called once, at start.

    A service (the first segment of a path) belongs to one plugin. If two plugins offer the
    same service, or two routes match the same paths, the start fails with an error that names
    both.
    """
    raise NotImplementedError


@hookspec
def trizmq_precondition(route: Route) -> Precondition | None:
    """Return a guard for ``route``, or None; called once for each route, at start.

    The guard is called for each request to that route, after the route has been found and
    before the handler is called, in the order of the plugins. If it returns a response, that
    response is sent; if it returns None, the next guard is called. It can be async, or a plain
    function that does not block, and may set ``request.principal``. If it raises an exception,
    the handler is not called: an `HTTPError` is the response, anything else is a 500.

    Args:
      route: a route of any plugin, including this one.

    """
    raise NotImplementedError


@hookspec
def trizmq_admit(call: AdmittedCall) -> Verdict:
    """Decide what the broker does with ``call``; called in the broker, for every call.

    It is called when a client's call has been read, before a worker receives it. The plugins
    are called in order. After None and `Forward`, the next plugin is called; the first
    `Discard`, `Reject` or `SendTo` is final. The principal of a `Forward` becomes
    ``call.principal`` for the plugins that follow, and the principal of the request at the
    worker; workers accept it from no other source.

    It runs in the broker's loop, with the context variables that the plugin's
    `trizmq_lifespan` has set. It must be a plain function and must not block. If it raises an
    exception, or returns an invalid value, the call gets a 500 and no worker receives it.

    Args:
      call: immutable; the body is not decoded.

    """
    raise NotImplementedError


@hookspec
def trizmq_admit_reply(call: AdmittedCall, response: Response) -> Verdict:
    """Decide what the broker does with a worker's ``response``; called in the broker.

    It is called when a worker has responded, before the client receives the response. None and
    `Forward` let the response pass; `Reject` replaces it, `Discard` drops it, and `SendTo` sends
    the call to another worker. The order of the plugins, the context variables, and the rules for
    exceptions are those of `trizmq_admit`.

    Args:
      call: immutable; ``call.worker`` is the name of the worker.
      response: the worker's response, also available as ``call.response``.

    """
    raise NotImplementedError


@hookspec
def trizmq_on_event(event: Event) -> None:
    """Handle an event at the broker: a worker has come or was lost, or a client has gone.

    All plugins are called, in order, in the broker's loop. It must be a plain function and
    must not block. If it raises an exception, the exception is logged and has no other effect.

    Args:
      event: immutable; ``event.kind`` is the kind of event.

    """
    raise NotImplementedError


@hookspec
def trizmq_lifespan(state_dir: Path, config: Any) -> AbstractAsyncContextManager[object]:
    """Return an async context manager for resources that live as long as the app.

    Lifespans are entered before the first request, in the order of the plugins, and left
    after the last one, in reverse order. They are left normally, whatever ended the server, so
    cleanup does not need a ``finally``; it has five seconds. If entering raises an exception,
    the start fails with that exception. If a task of a lifespan fails, the server ends with
    that error.

    The value that it yields is passed to all handlers that have an argument annotated with its
    type; guards and the hooks of the broker receive it in keyword-only arguments.

    Args:
      state_dir: a directory for the plugin's files; mode 0700, shared by all plugins.
      config: an instance of the type from `trizmq_config`, or None.

    """
    raise NotImplementedError


@hookspec
def trizmq_config() -> type:
    """Return a msgspec Struct or dataclass type that describes this plugin's settings.

    The table ``[plugin.NAME]`` of ``trizmq.toml`` is validated against it at start; an invalid
    or unknown key stops the start. If there may be no table, every field needs a default. The
    instance is passed to `trizmq_lifespan` as ``config``.
    """
    raise NotImplementedError


@hookspec
def trizmq_register_commands(cli: click.Group) -> None:
    """Add click commands to the command line.

    It is called whenever the command line needs all commands: import large modules inside the
    commands.

    Args:
      cli: the group of ``trizmq``; use ``cli.add_command(...)``.

    """
    raise NotImplementedError
