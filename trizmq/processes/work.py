"""A process with only a worker: it connects to brokers and serves their calls."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

import trio

from ..app.application import App
from ..app.plugins import load
from ..errors import ConfigError
from ..settings import DEFAULT_BACKEND, Settings, WorkSettings, settings_of
from ..transport.endpoints import split_endpoints
from ..transport.zeromq import ZmqTransport
from ..worker.loop import WorkerLoop
from .signals import receiving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..transport.face import Transport

__all__ = ["work", "work_on", "work_with"]


async def work(
    connect: str = DEFAULT_BACKEND,
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
    **settings: Unpack[WorkSettings],
) -> None:
    """Serve plugins for brokers in other processes, in your nursery.

    Does not return unless ``handle_signals``; cancel it to stop at once. Its calls then go to
    another worker, if they may be repeated.

    Args:
      connect: the endpoints of brokers for workers, separated by commas. It works for all.
      name: the name of this worker at the broker; None for a generated one.
      config: as for `trizmq.serve`, and so is ``handle_signals``.
      task_status: gets ``connect``, when the connections are being made.
      settings: those of ``trizmq worker``, with its defaults and bounds. ``dialect`` is
        ``"native"``, or for other brokers ``"mdp01"``, ``"mdp02"``, ``"majortomo"`` or
        ``"packed"``. In MDP, a worker has one service and one call at a time, so a
        ``capacity`` of N appears as N workers of each service. ``plugins``, ``modules``,
        ``state_dir``, ``capacity``, ``threads``, ``grace``, ``limits`` and ``access_log``
        are as for `trizmq.serve`.

    Raises:
      PluginError: a plugin is missing, broken, or collides with another; or offers nothing.
      ConfigError: a setting is wrong (this is a ValueError, too).
      TypeError: a keyword is unknown.

    """
    known = {"backend", *WorkSettings.__optional_keys__}
    await work_with(
        settings_of({"backend": connect, **settings}, known),
        name=name,
        config=config,
        handle_signals=handle_signals,
        task_status=task_status,
    )


async def work_with(
    settings: Settings,
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Do the same as `work`, with ``settings``, for the brokers at its ``backend``."""
    app = App(
        load(settings.plugins, settings.modules),
        config=config,
        state_dir=settings.state_dir,
        thread_limit=settings.threads,
    )
    if not app.services:
        raise ConfigError("a worker needs plugins that have routes: there are none")
    async with ZmqTransport(max_frame=settings.bounds.frame_bytes) as transport:
        await work_on(
            transport,
            app,
            settings,
            name=name,
            handle_signals=handle_signals,
            task_status=task_status,
        )


async def work_on(
    transport: Transport,
    app: App,
    settings: Settings,
    *,
    name: str | None = None,
    handle_signals: bool = False,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``app`` over ``transport``, which the caller closes; otherwise like `work_with`."""
    connect = settings.backend or DEFAULT_BACKEND
    async with app.lifespan():
        with receiving(wanted=handle_signals, patience=settings.grace) as signals:
            loop = WorkerLoop(
                transport,
                app,
                settings,
                connect=split_endpoints(connect),
                name=name or f"worker-{secrets.token_hex(4)}",
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(loop.run)
                task_status.started(connect)
                if signals is not None:
                    await signals.obey(partial(loop.drain, settings.grace))
                    nursery.cancel_scope.cancel()
