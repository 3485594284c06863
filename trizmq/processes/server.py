"""A process with a broker, and workers in this process, in child processes, or elsewhere."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple, final

import trio

from ..broker.engine import Broker
from ..broker.loop import BrokerLoop
from ..hook_values import Event
from ..transport.endpoints import split_endpoints
from ..worker.runner import LocalWorker
from .children import Muster

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from ..app.application import App
    from ..errors import TrizmqError
    from ..settings import Settings
    from ..transport.face import Router, Transport
    from .supervisor import Supervisor

__all__ = ["Server", "Staff"]

#: Seconds that sent replies may still take to arrive after the server has ended.
FLUSH_SECONDS = 1.0


class Staff(NamedTuple):
    """The worker processes of a server.

    Args:
      supervise: creates their supervisor from ``on_exit`` and ``on_start``.
      endpoint: the endpoint that they connect to.
      services: the services that they will offer: calls wait for them from the start.
      public: the services that will have public routes.

    """

    supervise: Callable[..., Supervisor]
    endpoint: str
    services: Iterable[str]
    public: Collection[str]


@final
class Server:
    """A broker with its sockets, created and run within the lifespan of the app.

    Args:
      transport: creates the sockets.
      app: provides the broker hooks; its handlers run here if there is a ``capacity``.
      settings: endpoints, ``capacity`` (with 0, no handlers run in this process), limits and
        access log.
      staff: worker processes that run the handlers instead, or None.

    Raises:
      ConfigError: if an endpoint cannot be bound.

    """

    def __init__(
        self, transport: Transport, app: App, settings: Settings, staff: Staff | None = None
    ) -> None:
        backend = _backend(settings, staff)
        self.broker = broker = Broker(
            settings.bounds,
            instance=secrets.token_hex(4),
            accepts_workers=backend is not None,
            admit=app.admit,
            admit_reply=app.admit_reply,
        )
        self._app = app
        self._supervisor: Supervisor | None = None
        if staff is not None:
            broker.expect(staff.services, staff.public)
            self._supervisor = staff.supervise(
                on_exit=self._note_exit, on_start=broker.expect_child
            )
        self._muster = Muster(lambda: self._supervisor is None or self._supervisor.are_all_ready)
        self._frontend = transport.bind(settings.bind)
        self._backend = self._bind_backend(transport, settings.bind, backend)
        self._loop = loop = BrokerLoop(broker, observe=self._observe)
        if self._backend is self._frontend:
            loop.add_both(self._frontend)
        else:
            loop.add_clients(self._frontend)
            if self._backend is not None:
                loop.add_workers(self._backend)
        if settings.capacity and staff is None:
            self._employ(app, settings.capacity, access_log=settings.access_log)

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
        loop = self._loop
        loop.local = LocalWorker(app, loop, capacity=capacity, access_log=access_log)
        self.broker.add_worker(
            sorted(app.services), capacity, public=app.public_services, routes=app.route_lines
        )

    @property
    def has_children(self) -> bool:
        """Whether it has worker processes, which it can replace."""
        return self._supervisor is not None

    @property
    def endpoint(self) -> str:
        """The endpoint for clients, including ports that the system chose."""
        return self._frontend.endpoint

    @property
    def backend(self) -> str:
        """The endpoint for workers, in the same form; empty if there is no backend."""
        return self._backend.endpoint if self._backend is not None else ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then notify all peers, and close the sockets."""
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
        """Wait until all worker processes are ready; return None, or the error of the start."""
        return await self._muster.wait() if self._supervisor is not None else None

    def drain_seconds(self, grace: float) -> float:
        """Return how long `drain` may take."""
        return grace + (self._supervisor.stop_seconds if self._supervisor is not None else 0.0)

    async def drain(self, grace: float) -> None:
        """Accept no new calls, finish running ones within ``grace`` seconds, stop the children."""
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
        self.broker.lose_named(name, reason, trio.current_time())
        if self._supervisor is not None and self._supervisor.is_pausing:
            self.broker.suspend(trio.current_time())
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


def _backend(settings: Settings, staff: Staff | None) -> str | None:
    if staff is None or settings.backend is None:
        return settings.backend if staff is None else staff.endpoint
    return f"{staff.endpoint},{settings.backend}"


def _takes_any_port(bind: str) -> bool:
    return any(endpoint.endswith((":*", ":0")) for endpoint in split_endpoints(bind))
