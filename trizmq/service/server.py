"""One broker process: the loop, and who works for it: this process, children, or others."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, final

import trio

from ..admission import Event
from ..engine.broker import Broker
from ..engine.records import Worker
from ..transport.endpoints import split_endpoints
from ..wire.items import MAX_ROUTES
from .broker_loop import BrokerLoop
from .local_worker import LocalWorker
from .muster import Muster

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from ..app.application import App
    from ..engine.limits import Limits
    from ..errors import TrizmqError
    from ..transport.face import Router, Transport
    from .supervisor import Supervisor

__all__ = ["Server", "fitting_lines", "route_lines"]

#: How long replies that are sent may still travel when the server has ended, in seconds.
FLUSH_SECONDS = 1.0

#: Bytes of all routes in a hello; every broker takes a message of that size.
HELLO_BYTES: Final = 512 * 1024


@final
class Server:
    """Owns the sockets it binds; made and run within the app's lifespan.

    Args:
      transport: where sockets come from.
      app: its broker hooks are asked; its handlers run here if there is a ``capacity``.
      bind: endpoints for clients, separated by commas.
      backend: endpoints for workers, likewise; None for none; ``bind`` for one socket.
      capacity: how many handlers may run at once in this process; 0: none do.
      supervise: makes the supervisor of worker processes, given its ``on_exit``; or None.
      services: what workers will offer: calls wait for it from the start.
      public: those of the services that will have public routes.
      limits: every bound.
      access_log: one line a call that is handled here.

    Raises:
      ConfigError: an endpoint cannot be bound.

    """

    def __init__(
        self,
        transport: Transport,
        app: App,
        *,
        bind: str,
        backend: str | None = None,
        capacity: int = 256,
        supervise: Callable[..., Supervisor] | None = None,
        services: Iterable[str] = (),
        public: Collection[str] = (),
        limits: Limits | None = None,
        access_log: bool = False,
    ) -> None:
        self.broker = broker = Broker(
            limits,
            instance=secrets.token_hex(4),
            accepts_workers=backend is not None,
            admit=app.admit,
            admit_reply=app.admit_reply,
        )
        broker.expect(services, public)
        self._app = app
        self._supervisor = (
            supervise(on_exit=self._note_exit, on_start=broker.expect_child) if supervise else None
        )
        self._muster = Muster(lambda: self._supervisor is None or self._supervisor.are_all_ready)
        self._frontend = transport.bind(bind)
        self._backend = self._bind_backend(transport, bind, backend)
        self._loop = BrokerLoop(broker, self._frontend, self._backend, observe=self._observe)
        if capacity:
            self._employ(app, capacity, access_log=access_log)

    def _bind_backend(self, transport: Transport, bind: str, backend: str | None) -> Router | None:
        if backend is None:
            return None
        if split_endpoints(backend) == split_endpoints(bind) and not _takes_any_port(bind):
            return self._frontend
        try:
            return transport.bind(backend)
        except BaseException:
            self._frontend.close()
            raise

    def _employ(self, app: App, capacity: int, *, access_log: bool) -> None:
        broker, loop, takes = self.broker, self._loop, self.broker.limits.takes
        loop.local = LocalWorker(
            app,
            capacity=capacity,
            finish=self._loop.finish,
            part=broker.part,
            takes=lambda flight: flight.peer.takes or takes,
            flush=loop.act,
            access_log=access_log,
        )
        worker = Worker(
            tuple(sorted(app.services)),
            capacity,
            public=app.public_services,
            routes=route_lines(app),
        )
        broker.join(worker)

    @property
    def has_children(self) -> bool:
        """Whether there are worker processes of its own, which it can replace."""
        return self._supervisor is not None

    @property
    def endpoint(self) -> str:
        """Where clients connect, ports that the system chose filled in."""
        return self._frontend.endpoint

    @property
    def backend(self) -> str:
        """Where workers connect, likewise; empty if there is no backend."""
        return self._backend.endpoint if self._backend is not None else ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then everybody is told, and the sockets are closed."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._loop.run)
                if self._supervisor is not None:
                    await nursery.start(self._supervisor.run)
                task_status.started()
        finally:
            self._frontend.close(FLUSH_SECONDS)
            if self._backend is not None:
                self._backend.close(FLUSH_SECONDS)

    async def until_up(self) -> TrizmqError | None:
        """Return when every worker process is ready; or what their start has failed of."""
        return await self._muster.wait() if self._supervisor is not None else None

    def drain_seconds(self, grace: float) -> float:
        """Return how long `drain` may take."""
        return grace + (self._supervisor.stop_seconds if self._supervisor is not None else 0.0)

    async def drain(self, grace: float) -> None:
        """Take no new calls, finish what runs within ``grace`` seconds, end the children."""
        await self._loop.drain(grace)
        if self._supervisor is not None:
            await self._supervisor.stop()

    async def reload(self) -> None:
        """Replace the worker processes, one after another."""
        self._app.on_event(Event("reload"))
        if self._supervisor is not None:
            await self._supervisor.replace_all()

    def _note_exit(self, name: str, reason: str) -> None:
        self._muster.note_exit(reason)
        self.broker.lose_named(name, reason)
        if self._supervisor is not None and self._supervisor.is_pausing:
            self.broker.suspend()
        self._loop.act()

    def _observe(self, event: Event) -> None:
        self._app.on_event(event)
        if self._supervisor is None:
            return
        if event.kind == "worker-ready":
            self._supervisor.note_ready(event.name)
            self._muster.note_ready()
        elif event.kind == "worker-lost":
            self._supervisor.note_lost(event.name, event.reason)


def _takes_any_port(bind: str) -> bool:
    return any(endpoint.endswith((":*", ":0")) for endpoint in split_endpoints(bind))


def fitting_lines(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Return as many of the lines as a hello has room for: it comes before any limit is known."""
    size = 0
    for number, line in enumerate(lines):
        size += len(line.encode())
        if size > HELLO_BYTES or number == MAX_ROUTES:
            return lines[:number]
    return lines


def route_lines(app: App) -> tuple[str, ...]:
    """Return the app's routes, for people to read: ``"GET /users/{user_id:int}"``."""
    return tuple(f"{','.join(sorted(route.methods))} {route.pattern}" for route in app.routes)
