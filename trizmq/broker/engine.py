"""The broker's engine: its ports, their shared state, and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..hook_values import Event
from ..limits import Limits
from . import mmi, statuses
from .acceptance import Acceptance
from .backend import Backend
from .dispatcher import Dispatcher
from .frontend import Frontend
from .gate import Gate
from .guard import Guard
from .local_frontend import LocalFrontend
from .outbox import Context
from .ports import LocalPort
from .sessions import RefusedWorkers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from .. import messages
    from ..hook_values import AdmittedCall, Verdict
    from ..wire.items import Body
    from .calls import Flight
    from .outbox import Counters, Outbox
    from .ports import RemotePort
    from .services import Service
    from .workers import Worker

__all__ = ["Broker"]


@final
class Broker:
    """Receives values and the time; `take_outbox` and each port's ``outbox`` have the results.

    Never waits or raises. The broker reaches its clients and workers through ports, which can be
    added and removed: a `Frontend` for each socket for clients, a `Backend` for each socket for
    workers, a `LocalPort` for a worker and the `LocalFrontend` for clients in the same process. The
    `Acceptance` accepts or refuses their calls, and the `Dispatcher` gives these to workers.

    Args:
      limits: the limits.
      instance: identifies this run of this broker; 8 characters, unique.
      accepts_workers: whether workers may connect to a backend. If so, a call for a service that
        no worker has offered yet waits for `Limits.wait`; otherwise it ends with a 404 at once.
      admit: called with every call; must not raise.
      admit_reply: called with every response of a worker; must not raise.

    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        instance: str,
        accepts_workers: bool = False,
        admit: Callable[[AdmittedCall], Verdict] | None = None,
        admit_reply: Callable[[AdmittedCall], Verdict] | None = None,
    ) -> None:
        self.limits = limits = limits or Limits()
        self.context = context = Context(limits, instance)
        self.frontends: list[Frontend] = []
        self.backends: list[Backend] = []
        self._local_workers: list[Worker] = []
        self._dispatcher = dispatcher = Dispatcher(context)
        self._guard = Guard(context, dispatcher)
        self.refused_workers = RefusedWorkers(context)
        self._respond = dispatcher.succeed
        gate = Gate(admit, admit_reply, context.counters, dispatcher, self._worker_named)
        if admit_reply is not None:
            self._respond = gate.respond
            dispatcher.begin = gate.begin
        asked = gate if admit is not None else None
        self._acceptance = Acceptance(
            context, dispatcher, asked, self._answer_mmi, waits=accepts_workers
        )
        self.local = LocalFrontend(context, self._acceptance, dispatcher, self._guard)

    def take_outbox(self) -> Outbox:
        """Return what the driver should do in addition to sending, and empty the outbox."""
        return self.context.outbox.take()

    @property
    def counters(self) -> Counters:
        """The counters since the start."""
        return self.context.counters

    @property
    def is_draining(self) -> bool:
        """Whether `drain` was called."""
        return self._acceptance.is_draining

    @property
    def services(self) -> dict[str, Service]:
        """The services that workers offer or have offered, or that calls wait for."""
        return self._dispatcher.services

    @property
    def workers(self) -> list[RemotePort]:
        """The workers at backends."""
        return [worker for port in self.backends for worker in port.workers.values()]

    @property
    def all_workers(self) -> list[Worker]:
        """The workers in this process and at backends."""
        return [*self._local_workers, *self.workers]

    @property
    def clients(self) -> int:
        """The number of clients: native ones, local ones, and others with calls in flight."""
        return sum(port.clients.count for port in self.frontends) + len(self.local.clients)

    @property
    def in_flight(self) -> int:
        """The number of calls that have been read and have not ended."""
        return self._dispatcher.calls.in_flight

    @property
    def queued_bytes(self) -> int:
        """About the number of bytes that calls waiting for a worker occupy."""
        return self._dispatcher.calls.queued_bytes

    def add_frontend(self) -> Frontend:
        """Return a new port for the clients at one socket."""
        port = Frontend(self.context, self._acceptance, self._dispatcher, self._guard)
        self.frontends.append(port)
        return port

    def remove_frontend(self, port: Frontend, now: float) -> None:
        """Abandon all clients at ``port``, whose socket is closed."""
        port.close(now)
        self.frontends.remove(port)

    def add_backend(self) -> Backend:
        """Return a new port for the workers at one socket."""
        refused = self.refused_workers
        port = Backend(self.context, self._dispatcher, self._respond, self._guard, refused)
        self.backends.append(port)
        return port

    def remove_backend(self, port: Backend, now: float) -> None:
        """End the sessions of the workers at ``port``, whose socket is closed."""
        port.close(now)
        self.backends.remove(port)

    # -- in this process ---------------------------------------------------------------

    def add_worker(
        self,
        services: Iterable[str],
        capacity: int,
        *,
        public: frozenset[str] = frozenset(),
        routes: tuple[str, ...] = (),
    ) -> LocalPort:
        """Add a worker in this process, with ``capacity`` calls of ``services`` at once."""
        names = tuple(services)
        worker = LocalPort(self.context.outbox, names, capacity, public=public, routes=routes)
        self._local_workers.append(worker)
        self._dispatcher.join(worker)
        return worker

    def finish(self, flight: Flight, response: messages.Response | None, now: float) -> None:
        """Record the end of a call at the worker of this process; its capacity is free again.

        Call this once for each call that was started, even if it was stopped; the response is
        then dropped. ``response``: None if the handler was cancelled.
        """
        self._dispatcher.now = now
        try:
            self._end(flight, response)
        except Exception as error:
            self._guard.end_flight(flight, error)
        try:
            self._dispatcher.release(flight, was_stopped=response is None)
        except Exception as error:
            self._guard.note(error)

    def _end(self, flight: Flight, response: messages.Response | None) -> None:
        if flight.ended:
            self.context.counters.late += response is not None
        elif response is None:
            self.context.counters.lost += 1
            self._dispatcher.replies.answer(flight, statuses.lost(flight))
        else:
            if flight.gathered and response.is_error:
                flight.gathered.clear()  # the parts before the failure
            self._respond(flight, response)

    def begin(self, flight: Flight, head: messages.Response, now: float) -> None:
        """Start a streamed response of this process's worker; ``head`` has no body."""
        self._dispatcher.now = now
        try:
            if not flight.ended and flight.window:
                self._dispatcher.begin(flight, head)
        except Exception as error:
            self._guard.end_flight(flight, error)

    def part(self, flight: Flight, body: Body, now: float) -> None:
        """Send a part of a response from the worker of this process."""
        self._dispatcher.now = now
        try:
            self._dispatcher.part(flight, body)
        except Exception as error:
            self._guard.end_flight(flight, error)

    def expect(self, services: Iterable[str], public: Collection[str] = ()) -> None:
        """Let calls of ``services`` wait for a worker, as if one had offered these before.

        ``public``: the services that have public routes.
        """
        self._acceptance.expect(services, public)

    def suspend(self, now: float) -> None:
        """Refuse, with 503, calls of services without a worker: none is expected soon."""
        self._dispatcher.now = now
        self._acceptance.suspend()

    def expect_child(self, name: str, secret: str) -> None:
        """Give the worker that sends ``secret``, which only it has, the name ``name``."""
        self.context.children[secret] = name

    def lose_named(self, name: str, reason: str, now: float) -> None:
        """End the sessions of the worker ``name``, whose process has ended."""
        self._dispatcher.now = now
        known = self.context.children
        self.context.children = {key: one for key, one in known.items() if one != name}
        for port in self.backends:
            port.lose_named(name, reason)

    def note_fault(self, error: Exception) -> None:
        """Record an exception that the driver has caught, for the log."""
        self._guard.note(error)

    def _answer_mmi(self, flight: Flight) -> messages.Response:
        return mmi.answer(flight, self)

    def _worker_named(self, name: str) -> Worker | None:
        return next((worker for worker in self.workers if worker.name == name), None)

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """The latest time at which to call `tick`; infinity if nothing is due."""
        # Two at a time: compiled code compares two numbers without a call.
        soon = min(self._dispatcher.next_tick, self._acceptance.next_tick)
        soon = min(soon, self.refused_workers.next_tick)
        for frontend in self.frontends:
            soon = min(soon, frontend.next_tick)
        for backend in self.backends:
            soon = min(soon, backend.next_tick)
        return soon

    def tick(self, now: float) -> None:
        """End calls that are due, send heartbeats, and abandon silent peers."""
        self._dispatcher.now = now
        for flight in self._dispatcher.calls.deadlines.due(now):
            try:
                self.context.counters.expired += 1
                self._dispatcher.stop(flight, statuses.expiry(flight))
            except Exception as error:
                self._guard.note(error)
        self._dispatcher.tick(now)
        self._acceptance.tick(now)
        for frontend in self.frontends:
            frontend.tick(now)
        for backend in self.backends:
            backend.tick(now)
        self.refused_workers.tick(now)

    # -- the end -----------------------------------------------------------------------

    def drain(self) -> None:
        """Refuse new calls from now on, and notify every native client."""
        self._acceptance.is_draining = True
        self.context.outbox.events.append(Event("drain"))
        for port in self.frontends:
            port.say_draining()

    def give_up_all(self, now: float) -> None:
        """End every call in flight with a 502 or 503: the time for draining is over."""
        self._dispatcher.now = now
        for port in self.frontends:
            port.give_up_all()
        for peer in self.local.clients:
            self._dispatcher.give_up_all_of(peer)

    def say_goodbye(self, now: float) -> None:
        """Send every native client the id of its last call that was read; dismiss workers."""
        for frontend in self.frontends:
            frontend.say_goodbye(now)
        for backend in self.backends:
            backend.say_goodbye(now)
