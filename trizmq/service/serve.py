"""One process that serves: broker and workers in one nursery, signals, drain."""

from __future__ import annotations

import logging
import secrets
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import trio

from ..app.application import App
from ..app.plugins import load
from ..engine.limits import Limits
from ..errors import ConfigError
from ..transport.endpoints import is_local, split_endpoints
from ..transport.zeromq import ZmqTransport
from .broker_loop import BrokerLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from ..transport.face import Router, Transport

__all__ = ["DEFAULT_ENDPOINT", "serve", "serve_on"]

LOGGER = logging.getLogger("trizmq.service")

DEFAULT_ENDPOINT: Final = "tcp://127.0.0.1:5555"

#: How long replies that are sent may still travel when the server has ended, in seconds.
FLUSH_SECONDS: Final = 1.0


async def serve(
    *,
    plugins: Sequence[object] | None = None,
    modules: Sequence[str] = (),
    bind: str = DEFAULT_ENDPOINT,
    config: Mapping[str, Any] | None = None,
    state_dir: Path | None = None,
    capacity: int = 256,
    threads: int = 40,
    grace: float = 20.0,
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
      bind: endpoints, separated by commas. ``tcp://127.0.0.1:*`` takes a free port.
      config: a table for each plugin by its name, as ``[plugin.NAME]`` in ``trizmq.toml``.
      state_dir: where plugins keep what must last; None for the user's state directory.
      capacity: how many ``async`` handlers may run at once; more calls wait.
      threads: how many ``def`` handlers may run at once.
      grace: seconds that running handlers have to finish when draining.
      access_log: one line a call, to the logger ``trizmq.access``.
      insecure: allow an endpoint that is not on the loopback; everything is in the clear.
      handle_signals: drain and return at SIGINT or SIGTERM; a second one ends it at once.
        Only in the main thread.
      task_status: told the endpoints, comma-separated, when calls can come.

    Raises:
      PluginError: a plugin is missing, broken, or collides with another.
      ConfigError: a setting is wrong, or an endpoint cannot be bound.

    """
    _check_exposure(bind, insecure=insecure)
    app = App(load(plugins, modules), config=config, state_dir=state_dir, thread_limit=threads)
    limits = Limits()
    transport = ZmqTransport(max_frame=limits.frame_bytes)
    try:
        await serve_on(
            transport,
            app,
            bind=bind,
            capacity=capacity,
            grace=grace,
            limits=limits,
            access_log=access_log,
            handle_signals=handle_signals,
            task_status=task_status,
        )
    finally:
        await transport.aclose()


async def serve_on(
    transport: Transport,
    app: App,
    *,
    bind: str,
    capacity: int = 256,
    grace: float = 20.0,
    limits: Limits | None = None,
    access_log: bool = False,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``app`` on ``transport``, which stays the caller's to close; else as `serve`."""
    async with app.lifespan():
        router = transport.bind(bind)
        loop = BrokerLoop(
            router,
            app,
            instance=secrets.token_hex(4),
            capacity=capacity,
            limits=limits or Limits(),
            access_log=access_log,
        )
        try:
            await _supervise(loop, router, grace, task_status, handle_signals=handle_signals)
        finally:
            router.close(FLUSH_SECONDS)


async def _supervise(
    loop: BrokerLoop,
    router: Router,
    grace: float,
    task_status: trio.TaskStatus[str],
    *,
    handle_signals: bool,
) -> None:
    with ExitStack() as stack:
        signals = None
        if handle_signals:  # before anybody can be told that we are up
            receiver = trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM)
            signals = stack.enter_context(receiver)
        async with trio.open_nursery() as nursery:
            await nursery.start(loop.run)
            task_status.started(router.endpoint)
            if signals is not None:
                await _drain_at_signal(signals, loop, grace)
                nursery.cancel_scope.cancel()


async def _drain_at_signal(signals: AsyncIterator[int], loop: BrokerLoop, grace: float) -> None:
    name = signal.Signals(await anext(signals)).name
    LOGGER.info("%s: draining, %d calls in flight", name, loop.broker.in_flight)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_at_next, signals, nursery.cancel_scope)
        await loop.drain(grace)
        nursery.cancel_scope.cancel()
    LOGGER.info("drained")


async def _cancel_at_next(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    LOGGER.warning("second signal: ending now")
    scope.cancel()


def _check_exposure(bind: str, *, insecure: bool) -> None:
    exposed = [endpoint for endpoint in split_endpoints(bind) if not is_local(endpoint)]
    if not exposed:
        return
    if not insecure:
        raise ConfigError(
            f"{exposed[0]} can be reached from other machines, in the clear:"
            " bind 127.0.0.1, or say --insecure"
        )
    LOGGER.warning("insecure: %s can be reached from other machines, in the clear", exposed[0])
