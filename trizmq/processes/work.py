"""A process that only works: it connects to brokers, and serves what they give it."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from ..app.application import App
from ..app.plugins import load
from ..errors import ConfigError
from ..limits import limits_of
from ..transport.endpoints import split_endpoints
from ..transport.zeromq import ZmqTransport
from ..wire.items import DEFAULT_TAKES
from ..wire.mdp import MDP
from ..wire.native import NATIVE
from ..worker.dialects import MDP_PATIENCE
from ..worker.loop import WorkerLoop
from .serve import DEFAULT_BACKEND
from .signals import receiving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..transport.face import Transport
    from ..wire.items import Takes

__all__ = ["work", "work_on"]


async def work(
    *,
    connect: str = DEFAULT_BACKEND,
    plugins: Sequence[object] | None = None,
    modules: Sequence[str] = (),
    dialect: str = NATIVE,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    state_dir: Path | None = None,
    capacity: int = 256,
    threads: int = 40,
    grace: float = 20.0,
    limits: Mapping[str, Any] | None = None,
    access_log: bool = False,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve plugins to brokers of other processes, in your nursery.

    Does not return unless ``handle_signals``; cancel it to stop at once: what is in hand
    then is given to another worker, where it may.

    Args:
      connect: the brokers' endpoints for workers, separated by commas: it works for all.
      dialect: ``"native"``, or at a broker of another make ``"mdp01"``, ``"mdp02"``,
        ``"majortomo"`` or ``"packed"``. MDP knows one service and one call at a time for a
        worker: a ``capacity`` of N appears as N workers of each service.
      name: what the broker calls this worker; made up if None.
      plugins: as for `trizmq.serve`, and so are ``modules``, ``config``, ``state_dir``,
        ``capacity``, ``threads``, ``grace``, ``limits``, ``access_log`` and ``handle_signals``.
      task_status: told ``connect``, when the connections are being made.

    Raises:
      PluginError: a plugin is missing, broken, or collides with another; or offers nothing.
      ConfigError: a setting is wrong.

    """
    if dialect != NATIVE and dialect not in MDP:
        raise ConfigError(f"no dialect {dialect!r}: {', '.join([NATIVE, *MDP])}")
    bounds = limits_of(limits or {})
    app = App(load(plugins, modules), config=config, state_dir=state_dir, thread_limit=threads)
    if not app.services:
        raise ConfigError("a worker needs plugins that have routes: there are none")
    async with ZmqTransport(max_frame=bounds.frame_bytes) as transport:
        await work_on(
            transport,
            app,
            connect=connect,
            grace=grace,
            handle_signals=handle_signals,
            task_status=task_status,
            dialect=dialect,
            capacity=capacity,
            name=name,
            takes=bounds.takes,
            patience=bounds.mdp_silence,
            access_log=access_log,
        )


async def work_on(
    transport: Transport,
    app: App,
    *,
    connect: str,
    grace: float = 20.0,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
    dialect: str = NATIVE,
    capacity: int = 256,
    name: str | None = None,
    takes: Takes = DEFAULT_TAKES,
    patience: float = MDP_PATIENCE,
    access_log: bool = False,
) -> None:
    """Serve ``app`` over ``transport``, which stays the caller's to close; else as `work`."""
    async with app.lifespan():
        with receiving(wanted=handle_signals, patience=grace) as signals:
            loop = WorkerLoop(
                transport,
                app,
                connect=split_endpoints(connect),
                dialect=dialect,
                capacity=capacity,
                name=name or f"worker-{secrets.token_hex(4)}",
                takes=takes,
                patience=patience,
                access_log=access_log,
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(loop.run)
                task_status.started(connect)
                if signals is not None:
                    await signals.obey(partial(loop.drain, grace))
                    nursery.cancel_scope.cancel()
