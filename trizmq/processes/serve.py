"""Processes that serve: a broker with its own worker, with worker processes, or alone."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from functools import partial
from operator import attrgetter
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Unpack

import trio
from msgspec.structs import replace

from ..app.application import App
from ..app.plugins import load
from ..errors import ConfigError, TrizmqError
from ..settings import DEFAULT_BACKEND, ServeSettings, Settings, settings_of
from ..transport.endpoints import LONGEST_PATH, check_bind, is_local, split_endpoints
from ..transport.zeromq import ZmqTransport
from .server import Server, Staff
from .signals import receiving
from .supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ..app.plugins import Plugins
    from ..limits import Limits
    from ..transport.face import Transport

__all__ = ["check_exposure", "serve", "serve_broker", "serve_with"]

LOGGER = logging.getLogger("trizmq.service")

#: Seconds that a worker process has after the broker's grace, to disconnect from the broker and to
#: leave the lifespans of its plugins.
GOODBYE_SECONDS: Final = 3.0

#: Possible locations of the directory for the workers' socket, and the length of the path in them.
PLACES: Final = ("/tmp", "/var/tmp")  # noqa: S108 (it is made there safely)
FOLDER_BYTES: Final = len("/trizmq-xxxxxxxx/backend")

#: The hooks that are called in the broker's process.
BROKER_HOOKS: Final = ("trizmq_admit", "trizmq_admit_reply", "trizmq_on_event")


async def serve(
    *,
    worker_command: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
    **settings: Unpack[ServeSettings],
) -> None:
    """Serve plugins: a broker and its workers, in this process, in your nursery.

    Does not return unless ``handle_signals``; cancel it to stop at once.

    Args:
      worker_command: the command of each worker process, without ``--connect``.
      config: a table for each plugin by its name, as ``[plugin.NAME]`` in ``trizmq.toml``.
      handle_signals: drain and return at SIGINT or SIGTERM; a second one ends it at once;
        SIGHUP replaces the worker processes one after another. Only in the main thread.
      task_status: gets the endpoints for clients, separated by commas, when calls can be made.
      settings: those of ``trizmq run``, with its defaults and bounds:

        - ``plugins``: names of installed plugins, modules, or any objects with hookimpls;
          None for every installed plugin.
        - ``modules``: plugins by import path, loaded after these.
        - ``bind``: endpoints for clients, separated by commas. ``tcp://127.0.0.1:*`` selects a
          free port.
        - ``backend``: endpoints for workers in other processes, in any dialect; None for none.
          If it equals ``bind``, one socket serves both.
        - ``workers``: with 0, handlers run in this process. Else, they run in this number of
          worker processes, which are started with ``worker_command`` and replaced when they
          die; this process has only the broker and its hooks.
        - ``state_dir``: the directory for files of plugins; None for the user's state directory.
        - ``capacity``: how many ``async`` handlers may run at once; more calls wait.
        - ``threads``: how many ``def`` handlers may run at once.
        - ``grace``: seconds that running handlers have to finish when draining.
        - ``wait``: seconds that a call waits for a service that no worker has ever offered,
          if there is a backend; without one, it is a 404 at once.
        - ``limits``: limits by name, as ``[limits]`` in ``trizmq.toml``:
          ``{"body_bytes": 2**25}``.
        - ``access_log``: log each call to the logger ``trizmq.access``.
        - ``insecure``: allow endpoints that other machines can reach; nothing is encrypted.

    Raises:
      PluginError: a plugin is missing, broken, or collides with another.
      ConfigError: a setting is wrong (this is a ValueError, too), or an endpoint cannot be
        bound; or a worker process ended for such a reason before all were ready.
      TrizmqError: a worker process ended for another reason before all were ready.
      TypeError: a keyword is unknown.

    """
    await serve_with(
        settings_of(settings, ServeSettings.__optional_keys__),
        worker_command=worker_command,
        config=config,
        handle_signals=handle_signals,
        task_status=task_status,
    )


async def serve_with(
    settings: Settings,
    *,
    worker_command: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve as `serve` does, with ``settings``."""
    check_exposure([settings.bind, settings.backend], insecure=settings.insecure)
    if settings.workers and sys.platform == "win32":
        raise ConfigError("worker processes need a POSIX system: run several `trizmq worker`s")
    if settings.workers and not worker_command:
        raise ConfigError("workers= needs worker_command=, the command of each worker process")
    loaded = load(settings.plugins, settings.modules)
    app = _app(loaded, settings, config)
    check_services(app, settings.bounds)
    async with ZmqTransport(max_frame=settings.bounds.frame_bytes) as transport:
        run = partial(serve_on, transport, handle_signals=handle_signals, task_status=task_status)
        if not settings.workers:
            await run(app, settings)
            return
        broker_side = _app(loaded.with_hooks(*BROKER_HOOKS), settings, config)
        with private_folder() as folder:
            endpoint = f"ipc://{folder}/backend"
            await run(broker_side, settings, _staff(app, endpoint, worker_command, settings))


def _app(plugins: Plugins, settings: Settings, config: Mapping[str, Any] | None) -> App:
    return App(plugins, config=config, state_dir=settings.state_dir, thread_limit=settings.threads)


def _staff(app: App, endpoint: str, command: Sequence[str], settings: Settings) -> Staff:
    """Return the worker processes of a `Server`, which connect to ``endpoint``."""
    supervise = partial(
        Supervisor,
        [*command, "--connect", endpoint],
        count=settings.workers,
        grace=settings.grace + GOODBYE_SECONDS,
    )
    return Staff(supervise, endpoint, tuple(app.services), app.public_services)


async def serve_broker(
    settings: Settings,
    *,
    config: Mapping[str, Any] | None = None,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[tuple[str, str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a broker alone: clients at ``bind``, workers at ``backend``.

    Plugins are loaded for their broker hooks only, and none are loaded unless they are named.
    ``task_status`` gets the endpoints for clients and for workers. Otherwise the same as `serve`.
    """
    backend = settings.backend or DEFAULT_BACKEND
    settings = replace(settings, backend=backend, capacity=0)
    check_exposure([settings.bind, backend], insecure=settings.insecure)
    app = _app(load(settings.plugins or (), settings.modules), settings, config)
    async with ZmqTransport(max_frame=settings.bounds.frame_bytes) as transport:
        await serve_on(
            transport,
            app,
            settings,
            tell=attrgetter("endpoint", "backend"),
            handle_signals=handle_signals,
            task_status=task_status,
        )


async def serve_on(
    transport: Transport,
    app: App,
    settings: Settings,
    staff: Staff | None = None,
    *,
    tell: Callable[[Server], Any] = attrgetter("endpoint"),
    handle_signals: bool = False,
    task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``app`` on ``transport``, which the caller closes; otherwise the same as `serve`.

    ``task_status`` gets the value that ``tell`` returns.
    """
    grace = settings.grace
    async with app.lifespan():
        server = Server(transport, app, settings, staff)
        failure: TrizmqError | None = None

        async def tell_when_up(nursery: trio.Nursery) -> None:
            nonlocal failure
            failure = await server.until_up()
            if failure is None:
                task_status.started(tell(server))
            else:
                nursery.cancel_scope.cancel()

        patience = server.drain_seconds(grace)
        with receiving(wanted=handle_signals, patience=patience) as signals:
            async with trio.open_nursery() as nursery:
                await nursery.start(server.run)
                nursery.start_soon(tell_when_up, nursery)
                if signals is not None:
                    reload = server.reload if server.has_children else None
                    await signals.obey(partial(server.drain, grace), reload)
                    nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


def private_folder() -> TemporaryDirectory[str]:
    """Make a directory with mode 0700 in which the path of a socket is not too long.

    Raises:
      ConfigError: if there is no suitable place.

    """
    places = [os.environ.get("TMPDIR", ""), os.environ.get("XDG_RUNTIME_DIR", ""), *PLACES]
    for place in places:
        if place and len(os.fsencode(place)) <= LONGEST_PATH - FOLDER_BYTES:
            with suppress(OSError):
                return TemporaryDirectory(prefix="trizmq-", dir=place, ignore_cleanup_errors=True)
    raise ConfigError(
        "there is no directory for the workers' socket: TMPDIR, /tmp or /var/tmp must be writable"
        f" and have a path of at most {LONGEST_PATH - FOLDER_BYTES} bytes"
    )


def check_services(app: App, limits: Limits) -> None:
    """Refuse plugins that offer more services than this broker may have.

    Raises:
      ConfigError: if there are too many; the message names the setting to change.

    """
    offered = len(app.services)
    if offered > limits.services:
        raise ConfigError(
            f"the plugins offer {offered} services, and at most {limits.services} are allowed:"
            f" set services = {offered} in [limits]"
        )


def check_exposure(binds: Iterable[str | None], *, insecure: bool) -> None:
    """Refuse endpoints that other machines can reach, unless ``insecure``; then log a warning.

    Raises:
      ConfigError: if an endpoint can be reached, or is not an endpoint.

    """
    endpoints = [one for bind in binds if bind is not None for one in split_endpoints(bind)]
    for endpoint in endpoints:
        check_bind(endpoint)
    exposed = [endpoint for endpoint in endpoints if not is_local(endpoint)]
    if exposed and not insecure:
        raise ConfigError(
            f"{exposed[0]} can be reached from other machines, unencrypted:"
            " bind 127.0.0.1, or use --insecure"
        )
    for endpoint in exposed:
        LOGGER.warning("insecure: %s can be reached from other machines, unencrypted", endpoint)
