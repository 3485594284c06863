"""The broker's state: who calls, what waits, who works, and when each call must end."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, final

from ..admission import Event
from ..messages import problem
from ..wire.items import Call, Cancel, Goaway, Heartbeat, Hello, Response
from . import mmi, refusals
from .bounds import find_oversize
from .clients import Clients
from .counters import Counters
from .dispatcher import Dispatcher
from .gate import Gate
from .limits import Limits
from .outbox import Outbox
from .records import Flight, Peer, Worker
from .services import Service
from .sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from .. import messages
    from ..admission import AdmittedCall, Verdict
    from ..wire import commands
    from ..wire.items import Body, Item
    from ..wire.return_path import ReturnPath

__all__ = ["Broker"]


@final
class Broker:
    """Values and the time in; `take_outbox` is what to do about it. Never waits or raises.

    What clients send comes in by `receive`, what workers send by `receive_worker`, and the
    local worker's ends by `finish`. Clients are known to `Clients`, workers on the backend
    to `Sessions`; the calls themselves are the `Dispatcher`'s: see there how they live.

    Args:
      limits: every bound.
      instance: names this life of this broker; 8 characters, never the same twice.
      accepts_workers: whether there is a backend. If so, a call for a service that nobody
        offers waits for it, as `Limits.wait` says; else it is a 404 at once.
      admit: asked about every call; must not raise.
      admit_reply: asked about every worker's response, if there is an ``admit``; likewise.

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
        self.counters = counters = Counters()
        self.is_draining = False
        self.accepts_workers = accepts_workers
        self._outbox = Outbox()
        self._part_bytes = limits.part_bytes
        self._foreign_ids = count(1)
        self._local: list[Worker] = []
        self._impatient: deque[tuple[float, Flight]] = deque()
        self._clients = Clients(limits, self._outbox, instance=instance)
        self._dispatcher = Dispatcher(
            limits, counters, self._outbox, self._clients, instance=instance
        )
        respond = self._dispatcher.succeed
        self._gate: Gate | None = None
        if admit is not None:
            self._gate = Gate(
                admit, admit_reply, limits, counters, self._dispatcher, self._worker_named
            )
            if admit_reply is not None:
                respond = self._gate.respond
        self._respond = respond
        self._sessions = Sessions(
            limits, counters, self._outbox, self._dispatcher, respond, instance=instance
        )

    def take_outbox(self) -> Outbox:
        """Return what is to be done, and start anew."""
        return self._outbox.take()

    @property
    def services(self) -> dict[str, Service]:
        """The services that somebody offers, has offered, or waits for."""
        return self._dispatcher.services

    @property
    def workers(self) -> list[Worker]:
        """The workers on the backend."""
        return list(self._sessions.workers.values())

    @property
    def all_workers(self) -> list[Worker]:
        """These, and the local one."""
        return [*self._local, *self.workers]

    @property
    def clients(self) -> int:
        """How many native clients are connected, and others have calls in flight."""
        return len(self._clients.native) + len(self._clients.foreign)

    @property
    def in_flight(self) -> int:
        """How many calls have been read and have not ended."""
        return self._dispatcher.in_flight

    @property
    def queued_bytes(self) -> int:
        """About how many bytes the calls keep that wait for a worker."""
        return self._dispatcher.queued_bytes

    # -- workers -----------------------------------------------------------------------

    def join(self, worker: Worker) -> None:
        """Let the local worker take calls of its services from now on."""
        self._local.append(worker)
        self._dispatcher.join(worker)

    def finish(self, flight: Flight, response: messages.Response | None) -> None:
        """Be told that the local worker is done with ``flight``: its room is free again.

        To be called once for each dispatched flight, also for one that was abandoned; the
        response, None from a handler that was stopped, is then dropped.
        """
        if flight.ended:
            self.counters.late += response is not None
        elif response is None:
            self.counters.lost += 1
            self._dispatcher.answer(flight, refusals.lost(flight))
        else:
            if response.is_error:
                flight.gathered.clear()  # what had been said before it failed
            self._respond(flight, response)
        self._dispatcher.release(flight)

    def part(self, flight: Flight, body: Body) -> None:
        """Send a part of the local worker's response ahead of its end."""
        self._dispatcher.part(flight, body)

    def receive_worker(self, address: bytes, items: Sequence[Item], now: float) -> None:
        """Take in one message of a native worker on the backend."""
        self._dispatcher.now = now
        self._sessions.receive(address, items, now)

    def receive_command(
        self, address: bytes, dialect: str, command: commands.Command, now: float
    ) -> None:
        """Take in one command of an MDP worker on the backend."""
        self._dispatcher.now = now
        self._sessions.receive_command(address, dialect, command, now)

    def lose_worker(self, address: bytes, reason: str = "it is not connected") -> None:
        """Be told that no worker is at ``address`` any more."""
        self._sessions.lose(address, reason)

    def lose_named(self, name: str, reason: str) -> None:
        """Be told that the process of the worker ``name`` has ended."""
        self._sessions.lose_named(name, reason)

    def expect(self, services: Iterable[str], public: Collection[str] = ()) -> None:
        """Let calls of ``services`` wait for a worker as if there had been one before.

        ``public``: those of them that have public routes.
        """
        for name in services:
            service = self.services.setdefault(name, Service(name))
            service.was_offered, service.has_public_routes = True, name in public

    def suspend(self) -> None:
        """Refuse, with 503, calls of services that have no worker: none will come soon."""
        for service in self.services.values():
            if not service.workers:
                service.is_suspended = True
                for flight in service.queue.flights():
                    self._refuse(flight, self._nobody(flight))

    def is_worker(self, address: bytes) -> bool:
        """Tell whether ``address`` is a worker's: one socket may serve both roles."""
        return address in self._sessions.workers

    def _worker_named(self, name: str) -> Worker | None:
        return next((worker for worker in self.workers if worker.name == name), None)

    # -- clients -----------------------------------------------------------------------

    def receive(self, address: bytes, items: Sequence[Item], now: float, size: int) -> None:
        """Take in one message of a native client: ``size`` bytes, decoded to ``items``."""
        peer = self._clients.native.get(address)
        if peer is None:
            peer = self._greet(address, items[0], now)
            if peer is None:
                return
            items = items[1:]
        thorough = size > self._part_bytes
        for item in items:
            kind = type(item)
            if kind is Call:
                self._take(peer, item, None, now, thorough=thorough)  # type: ignore[arg-type]
            elif kind is Cancel:
                self._cancel(peer, item.id)  # type: ignore[union-attr]
            elif kind is Goaway:
                self.lose(address)
                return
            elif kind is Hello:
                self._clients.say_hello(address)  # the first answer may not have reached it
            elif kind is not Heartbeat:
                self.counters.unexpected += 1

    def receive_foreign(
        self, address: bytes, call: Call, return_path: ReturnPath, now: float
    ) -> None:
        """Take in one call of another dialect, to be answered by ``return_path``."""
        call.id = next(self._foreign_ids)
        peer = self._clients.foreign_peer(address, return_path)
        self._take(peer, call, return_path, now, thorough=True)

    def refuse_malformed(
        self, address: bytes, return_path: ReturnPath, status: int, detail: str
    ) -> None:
        """Answer what was no proper call, but told how it can be answered."""
        self.counters.malformed += 1
        outcome = problem(status, detail, executed="no")
        item = Response(0, outcome.status, outcome.headers, outcome.body)
        self._outbox.messages.append((address, return_path.encode(item)))

    def lose(self, address: bytes) -> None:
        """Be told that no client is at ``address`` any more: its calls are given up."""
        for peer in self._clients.forget(address):
            self._outbox.events.append(Event("client-gone", peer.instance))
            for flight in list(peer.flights.values()):
                self._give_up(flight)

    def _greet(self, address: bytes, first: Item, now: float) -> Peer | None:
        if not isinstance(first, Hello):
            # A client of the broker that was here before us: tell it that that one is gone.
            self._outbox.say(address, Goaway("unknown"))
            return None
        peer = self._clients.greet(address, first, now)
        if self.is_draining and peer is not None:
            self._outbox.say(address, Goaway("draining"))
        return peer

    def _cancel(self, peer: Peer, call_id: int) -> None:
        flight = peer.flights.get(call_id)
        if flight is not None:  # else it has just been answered
            self._give_up(flight)

    def _give_up(self, flight: Flight) -> None:
        self.counters.cancelled += 1
        self._dispatcher.stop(flight)

    # -- a call's way in ---------------------------------------------------------------

    def _take(
        self, peer: Peer, call: Call, return_path: ReturnPath | None, now: float, *, thorough: bool
    ) -> None:
        if call.id in peer.flights:
            self.counters.unexpected += 1
            return
        call.principal = None  # a client's word for who it is counts for nothing
        dispatcher = self._dispatcher
        dispatcher.now = now
        name = _service_of(call.target)
        service = dispatcher.services.get(name) or Service(name)
        deadline = now + min(call.ttl / 1000, self.limits.max_ttl)
        flight = Flight(peer, call, deadline, service, return_path)
        dispatcher.open(flight)
        outcome = self._why_not(flight, thorough=thorough)
        if outcome is not None:
            self._refuse(flight, outcome)
        elif self._gate is None or self._gate.admits(flight):
            self._place(flight)

    def _why_not(self, flight: Flight, *, thorough: bool) -> messages.Response | None:
        """Return what is to be said about a call that is not even looked at, or None."""
        # Empty header fields take no room: a small message may hold too many of them.
        thorough = thorough or len(flight.call.headers) > self.limits.header_fields
        if thorough and (oversize := find_oversize(flight.call, self.limits)):
            return refusals.refusal(flight, *oversize)
        if flight.deadline <= self._dispatcher.now:
            return refusals.expiry(flight)
        if self.is_draining and not mmi.is_mmi(flight.service.name):
            return refusals.draining(flight, retry_after_ms=self.limits.retry_after_ms)
        if len(flight.peer.flights) > self.limits.client_calls:
            return self._busy(flight, 429, "this client has too many calls in flight")
        return None

    def _place(self, flight: Flight) -> None:
        service = flight.service
        if service.is_suspended:
            self._refuse(flight, self._nobody(flight))
        elif service.workers or flight.wanted is not None or service.was_offered:
            self._dispatcher.place(flight)
        elif mmi.is_mmi(service.name):
            self._refuse(flight, mmi.answer(service.name, flight.call, self))
        elif not flight.call.target.startswith("/"):
            self._refuse(flight, refusals.refusal(flight, 400, "a path starts with /"))
        elif not self.accepts_workers:
            detail = f"no service {service.name!r} here"
            self._refuse(flight, refusals.refusal(flight, 404, detail))
        else:
            self._await_service(flight)

    def _await_service(self, flight: Flight) -> None:
        """Let a call wait for a service that nobody has ever offered; not for long."""
        services = self.services
        if flight.service.name not in services and len(services) >= 2 * self.limits.services:
            self._refuse(flight, self._nobody(flight))
            return
        services[flight.service.name] = flight.service
        self._impatient.append((self._dispatcher.now + self.limits.wait, flight))
        self._dispatcher.place(flight)

    def _refuse(self, flight: Flight, outcome: messages.Response) -> None:
        self.counters.refused += 1
        self._dispatcher.answer(flight, outcome)

    def _busy(self, flight: Flight, status: int, detail: str) -> messages.Response:
        return refusals.busy(flight, status, detail, retry_after_ms=self.limits.retry_after_ms)

    def _nobody(self, flight: Flight) -> messages.Response:
        return self._busy(flight, 503, f"nobody offers the service {flight.service.name!r}")

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest; infinity if nothing is expected."""
        impatient = self._impatient[0][0] if self._impatient else float("inf")
        return min(
            self._dispatcher.deadlines.next,
            self._clients.next_heartbeat,
            self._sessions.next_heartbeat,
            impatient,
        )

    def tick(self, now: float) -> None:
        """Let time pass: end what is due, beat, and give up who has been silent."""
        self._dispatcher.now = now
        for flight in self._dispatcher.deadlines.due(now):
            self.counters.expired += 1
            self._dispatcher.stop(flight, refusals.expiry(flight))
        while self._impatient and self._impatient[0][0] <= now:
            self._lose_patience(self._impatient.popleft()[1])
        self._clients.tick(now)
        self._sessions.tick(now)

    def _lose_patience(self, flight: Flight) -> None:
        service = flight.service
        if service.was_offered:
            return
        if not flight.ended:
            self._refuse(flight, self._nobody(flight))
        # There may be another of that name by now.
        if not service.queue.count and self.services.get(service.name) is service:
            del self.services[service.name]

    # -- the end -----------------------------------------------------------------------

    def drain(self) -> None:
        """Take no new calls from now on, and say so to every native client."""
        self.is_draining = True
        self._outbox.events.append(Event("drain"))
        self._clients.say_to_all(Goaway("draining"))

    def dismiss_workers(self) -> None:
        """Tell every worker on the backend to go."""
        self._sessions.dismiss_all()

    def give_up_all(self) -> None:
        """Stop and answer every call that is in flight: the time for draining is over."""
        for peer in self._clients.all():
            for flight in list(peer.flights.values()):
                if flight.attempts:
                    self.counters.lost += 1
                    self._dispatcher.stop(flight, refusals.lost(flight))
                else:
                    self.counters.refused += 1
                    retry = self.limits.retry_after_ms
                    self._dispatcher.stop(flight, refusals.draining(flight, retry_after_ms=retry))


def _service_of(target: str) -> str:
    """Return the first segment of the path; ``""`` of a target that is none."""
    if target[:1] != "/":
        return ""
    end = target.find("/", 1)
    name = target[1:end] if end > 0 else target[1:]
    return name if "?" not in name else name.partition("?")[0]
