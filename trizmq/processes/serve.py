"""Processes that serve: a broker, with a worker of its own, worker processes, or neither."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from functools import partial
from operator import attrgetter
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import trio

from ..app.application import App
from ..app.plugins import load
from ..errors import ConfigError, TrizmqError
from ..limits import limits_of
from ..transport.endpoints import LONGEST_PATH, check_bind, is_local, split_endpoints
from ..transport.zeromq import ZmqTransport
from .server import Server
from .signals import receiving
from .supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ..limits import Limits
    from ..transport.face import Transport

__all__ = ["DEFAULT_BACKEND", "DEFAULT_ENDPOINT", "check_exposure", "serve", "serve_broker"]


LOGGER = logging.getLogger("trizmq.service")


DEFAULT_ENDPOINT: Final = "tcp://127.0.0.1:5555"


DEFAULT_BACKEND: Final = "tcp://127.0.0.1:5556"


#: What a worker process has beyond the broker's grace, to say goodbye in and to leave its
#: plugins' lifespans.
GOODBYE_SECONDS: Final = 3.0


#: Where the directory of the workers' socket may be, and how long its own part of the path is.
PLACES: Final = ("/tmp", "/var/tmp")  # noqa: S108 (it is made there safely)


FOLDER_BYTES: Final = len("/trizmq-xxxxxxxx/backend")


#: The hooks that are asked in the broker's process.
BROKER_HOOKS: Final = ("trizmq_admit", "trizmq_on_event")


async def serve(
    *,
    plugins: Sequence[object] | None = None,
    modules: Sequence[str] = (),
    bind: str = DEFAULT_ENDPOINT,
    backend: str | None = None,
    workers: int = 0,
    worker_command: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    state_dir: Path | None = None,
    capacity: int = 256,
    threads: int = 40,
    grace: float = 20.0,
    wait: float = 1.0,
    limits: Mapping[str, Any] | None = None,
    access_log: bool = False,
    insecure: bool = False,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve plugins: a broker and its workers, in this process, in your nursery.

    Does not return unless ``handle_signals``; cancel it to stop at once.

    Args:
      plugins: names of installed plugins, modules, or any objects with hookimpls; None for
        every installed plugin.
      modules: plugins by import path, loaded after these.
      bind: endpoints for clients, separated by commas. ``tcp://127.0.0.1:*`` takes a free
        port.
      backend: endpoints for workers of other processes, in whatever dialect; None for
        none; the same as ``bind`` for one socket for both.
      workers: 0: handlers run in this process. Else so many worker processes run them,
        started from ``worker_command`` and kept alive; here are only the broker and its
        hooks.
      worker_command: what to run, without ``--connect``.
      config: a table for each plugin by its name, as ``[plugin.NAME]`` in ``trizmq.toml``.
      state_dir: where plugins keep what must last; None for the user's state directory.
      capacity: how many ``async`` handlers may run at once; more calls wait.
      threads: how many ``def`` handlers may run at once.
      grace: seconds that running handlers have to finish when draining.
      wait: seconds that a call waits for a service that nobody has ever offered, where
        there is a backend; without one it is a 404 at once.
      limits: bounds by name, as ``[limits]`` in ``trizmq.toml``: ``{"body_bytes": 2**25}``.
      access_log: one line a call, to the logger ``trizmq.access``.
      insecure: allow an endpoint that is not on the loopback; everything is in the clear.
      handle_signals: drain and return at SIGINT or SIGTERM; a second one ends it at once;
        SIGHUP replaces the worker processes one after another. Only in the main thread.
      task_status: told the clients' endpoints, comma-separated, when calls can come.

    Raises:
      PluginError: a plugin is missing, broken, or collides with another.
      ConfigError: a setting is wrong, or an endpoint cannot be bound; or a worker process
        says so of itself before all are ready.
      TrizmqError: a worker process ended for another reason before all were ready.

    """
    check_exposure([bind, backend], insecure=insecure)
    if workers and sys.platform == "win32":
        raise ConfigError("worker processes need a POSIX system: run several `trizmq worker`s")
    if workers and not worker_command:
        raise ConfigError("workers= needs a worker_command=: what each worker process runs")
    loaded = load(plugins, modules)
    make_app = partial(App, config=config, state_dir=state_dir, thread_limit=threads)
    app = make_app(loaded)
    bounds = limits_of(limits or {}, wait=wait)
    check_services(app, bounds)
    async with ZmqTransport(max_frame=bounds.frame_bytes) as transport:
        serve_here = partial(
            serve_on,
            transport,
            bind=bind,
            grace=grace,
            limits=bounds,
            handle_signals=handle_signals,
            task_status=task_status,
        )
        if not workers:
            await serve_here(app, backend=backend, capacity=capacity, access_log=access_log)
            return
        broker_side = make_app(loaded.with_hooks(*BROKER_HOOKS))
        with private_folder() as folder:
            await serve_here(
                broker_side,
                capacity=0,
                services=app.services,
                public=app.public_services,
                **_staffed(f"ipc://{folder}/backend", backend, worker_command, workers, grace),
            )


def _staffed(
    private: str, backend: str | None, command: Sequence[str], count: int, grace: float
) -> dict[str, Any]:
    """Return the options of a `Server` with worker processes at the endpoint ``private``."""
    full_command = [*command, "--connect", private]
    grace += GOODBYE_SECONDS
    return {
        "backend": private if backend is None else f"{private},{backend}",
        "supervise": partial(Supervisor, full_command, count=count, grace=grace),
    }


async def serve_broker(
    *,
    plugins: Sequence[object] = (),
    modules: Sequence[str] = (),
    bind: str = DEFAULT_ENDPOINT,
    backend: str = DEFAULT_BACKEND,
    config: Mapping[str, Any] | None = None,
    state_dir: Path | None = None,
    grace: float = 20.0,
    wait: float = 1.0,
    limits: Mapping[str, Any] | None = None,
    insecure: bool = False,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[tuple[str, str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a broker alone: clients at ``bind``, workers at ``backend``.

    ``plugins`` are loaded for their broker hooks only; ``task_status`` is told the clients'
    and the workers' endpoints. All else as `serve`.
    """
    check_exposure([bind, backend], insecure=insecure)
    app = App(load(plugins, modules), config=config, state_dir=state_dir)
    bounds = limits_of(limits or {}, wait=wait)
    async with ZmqTransport(max_frame=bounds.frame_bytes) as transport:
        await serve_on(
            transport,
            app,
            bind=bind,
            backend=backend,
            capacity=0,
            grace=grace,
            limits=bounds,
            handle_signals=handle_signals,
            task_status=task_status,
            tell=attrgetter("endpoint", "backend"),
        )


async def serve_on(
    transport: Transport,
    app: App,
    *,
    grace: float = 20.0,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
    tell: Callable[[Server], Any] = attrgetter("endpoint"),
    **options: Any,
) -> None:
    """Serve ``app`` on ``transport``, which stays the caller's to close; else as `serve`.

    ``tell``: what ``task_status`` is told. ``options`` are those of `Server`.
    """
    async with app.lifespan():
        server = Server(transport, app, **options)
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
    """Make a directory, mode 0700, in which the path of a socket is not too long.

    Raises:
      ConfigError: there is no place for one.

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
      ConfigError: saying how many there are, and what to set.

    """
    offered = len(app.services)
    if offered > limits.services:
        raise ConfigError(
            f"the plugins offer {offered} services, and at most {limits.services} are allowed:"
            f" set services = {offered} in [limits]"
        )


def check_exposure(binds: Iterable[str | None], *, insecure: bool) -> None:
    """Refuse endpoints that other machines reach, unless ``insecure``; then say so.

    Raises:
      ConfigError: naming the endpoint; also of one that is no endpoint at all, for nobody
        can tell who would reach it.

    """
    endpoints = [one for bind in binds if bind is not None for one in split_endpoints(bind)]
    for endpoint in endpoints:
        check_bind(endpoint)
    exposed = [endpoint for endpoint in endpoints if not is_local(endpoint)]
    if exposed and not insecure:
        raise ConfigError(
            f"{exposed[0]} can be reached from other machines, in the clear:"
            " bind 127.0.0.1, or say --insecure"
        )
    for endpoint in exposed:
        LOGGER.warning("insecure: %s can be reached from other machines, in the clear", endpoint)
