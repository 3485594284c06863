"""The broker's engine: who calls, what waits, who works, and when each call must end."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final, final

from ..admission import Event
from ..limits import Limits
from ..messages import problem
from ..wire.items import Call, Cancel, Goaway, Heartbeat, Hello, Response
from . import mmi, refusals
from .clients import Clients
from .dispatcher import Dispatcher
from .gate import Gate
from .guard import Guard
from .intake import Intake
from .mdp_sessions import MDPSessions
from .outbox import Counters, Outbox
from .refused_workers import RefusedWorkers
from .sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from .. import messages
    from ..admission import AdmittedCall, Verdict
    from ..wire import mdp
    from ..wire.items import Body, Item
    from ..wire.return_path import ReturnPath
    from .calls import Flight, Peer, Token
    from .services import Service
    from .workers import Worker

__all__ = ["Broker"]

#: A name of this module, which compiled code finds at once; others it looks up for each item.
_CALL: Final = Call


@final
class Broker:
    """Values and the time in; `take_outbox` is what to do about it. Never waits or raises.

    What clients send comes in by `receive`, what workers send by `receive_worker`, and the
    local worker's ends by `finish`. Clients are known to `Clients`, workers on the backend
    to `Sessions`; the calls themselves are the `Dispatcher`'s: see there how they live.

    What the driver could not read it says to `mdp` and `refused_workers`.

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
        self._outbox = Outbox()
        self._part_bytes = limits.part_bytes
        self._foreign_ids = count(1)
        self._local: list[Worker] = []
        self._clients = Clients(limits, counters, self._outbox, instance=instance)
        self._dispatcher = Dispatcher(
            limits, counters, self._outbox, self._clients, instance=instance
        )
        self._guard = guard = Guard(counters, self._outbox, self._dispatcher)
        respond = self._dispatcher.succeed
        gate: Gate | None = None
        if admit is not None:
            gate = Gate(admit, admit_reply, counters, self._dispatcher, self._worker_named)
            if admit_reply is not None:
                respond = gate.respond
        self._respond = respond
        self.refused_workers = refused = RefusedWorkers(counters, self._outbox)
        self._sessions = Sessions(
            limits,
            counters,
            self._outbox,
            self._dispatcher,
            respond,
            guard,
            refused,
            instance=instance,
        )
        self.mdp = MDPSessions(self._sessions, refused, counters, self._dispatcher)

        self._intake = Intake(
            limits, counters, self._dispatcher, gate, self._answer_mmi, waits=accepts_workers
        )

    def take_outbox(self) -> Outbox:
        """Return what is to be done, and start anew."""
        return self._outbox.take()

    @property
    def is_draining(self) -> bool:
        """Whether `drain` was called."""
        return self._intake.is_draining

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
        worker.heard_at = float("inf")  # it is this process
        self._local.append(worker)
        self._dispatcher.join(worker)

    def finish(
        self, flight: Flight, response: messages.Response | None, now: float | None = None
    ) -> None:
        """Be told that the local worker is done with ``flight``: its room is free again.

        To be called once for each dispatched flight, also for one that was abandoned; the
        response, None from a handler that was stopped, is then dropped. ``now``: if None, it
        is not later than at the last input.
        """
        if now is not None:
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
            self.counters.late += response is not None
        elif response is None:
            self.counters.lost += 1
            self._dispatcher.answer(flight, refusals.lost(flight))
        else:
            if flight.gathered and response.is_error:
                flight.gathered.clear()  # what had been said before it failed
            self._respond(flight, response)

    def part(self, flight: Flight, body: Body) -> None:
        """Send a part of the local worker's response ahead of its end."""
        try:
            self._dispatcher.part(flight, body)
        except Exception as error:
            self._guard.end_flight(flight, error)

    def receive_worker(
        self, address: bytes, items: Sequence[Item], now: float, size: int = 0
    ) -> None:
        """Take in one message of a native worker on the backend.

        ``size``: its bytes, if it has several frames.
        """
        self._dispatcher.now = now
        self._sessions.receive(address, items, now, size)

    def receive_command(
        self, address: bytes, dialect: str, command: mdp.Command, now: float
    ) -> None:
        """Take in one command of an MDP worker on the backend."""
        self._dispatcher.now = now
        try:
            self.mdp.receive(address, dialect, command, now)
        except Exception as error:
            self._guard.note(error)
            self._sessions.dismiss(address, dialect, "the broker failed at what it sent")

    def lose_worker(
        self,
        address: bytes,
        reason: str = "it is not connected",
        undelivered: Collection[Token] = (),
    ) -> None:
        """Be told that no worker is at ``address`` any more.

        ``undelivered``: tokens of calls that could not even be sent to it.
        """
        self._sessions.lose(address, reason, undelivered)

    def expect_child(self, name: str, secret: str) -> None:
        """Know a worker by ``secret``, which it alone has, and call it ``name``."""
        self._sessions.children[secret] = name

    def lose_named(self, name: str, reason: str) -> None:
        """Be told that the process of the worker ``name`` has ended."""
        self._sessions.lose_named(name, reason)

    def expect(self, services: Iterable[str], public: Collection[str] = ()) -> None:
        """Let calls of ``services`` wait for a worker as if there had been one before.

        ``public``: those of them that have public routes.
        """
        self._intake.expect(services, public)

    def suspend(self) -> None:
        """Refuse, with 503, calls of services that have no worker: none will come soon."""
        self._intake.suspend()

    def is_worker(self, address: bytes) -> bool:
        """Tell whether ``address`` is a worker's: one socket may serve both roles."""
        return address in self._sessions.workers

    def client_message_bytes(self, address: bytes) -> int:
        """Return how large a message to the native client at ``address`` may be."""
        return self._clients.message_bytes(address)

    def worker_message_bytes(self, address: bytes) -> int:
        """Return how large a message to the native worker at ``address`` may be."""
        return self._sessions.message_bytes(address)

    def take_back(self, address: bytes, item: Item) -> None:
        """Be told that ``item`` could not be written for the worker at ``address``."""
        self._sessions.take_back(address, item)

    def _answer_mmi(self, flight: Flight) -> messages.Response:
        return mmi.answer(flight, self)

    def _worker_named(self, name: str) -> Worker | None:
        return next((worker for worker in self.workers if worker.name == name), None)

    # -- clients -----------------------------------------------------------------------

    def receive(self, address: bytes, items: Sequence[Item], now: float, size: int) -> None:
        """Take in one message of a native client: ``size`` bytes, decoded to ``items``."""
        peer = self._clients.native.get(address)
        if peer is None:
            peer = self._greet(address, items, now)
            if peer is None:
                return
            items = items[1:]
        thorough = size > self._part_bytes
        for item in items:
            kind = type(item)
            try:
                if kind is _CALL:
                    self._intake.take(peer, item, None, now, thorough=thorough)  # type: ignore[arg-type]
                elif kind is Cancel:
                    self._cancel(peer, item.id)  # type: ignore[union-attr]
                elif kind is Goaway:
                    self.lose(address)
                    return
                elif kind is not Heartbeat:
                    self._hear(address, item)
            except Exception as error:
                self._guard.end_item(peer, item, None, error)
        if thorough:
            self._clients.note_read(peer, size)

    def _hear(self, address: bytes, item: Item) -> None:
        if isinstance(item, Hello):
            self._clients.say_hello(address)  # the first answer may not have reached it
        else:
            self.counters.unexpected += 1

    def receive_foreign(
        self, address: bytes, call: Call, return_path: ReturnPath, now: float
    ) -> None:
        """Take in one call of another dialect, to be answered by ``return_path``."""
        call.id = next(self._foreign_ids)
        peer = self._clients.foreign_peer(address, return_path)
        try:
            self._intake.take(peer, call, return_path, now, thorough=True)
        except Exception as error:
            self._guard.end_item(peer, call, return_path, error)

    def refuse_malformed(
        self, address: bytes, return_path: ReturnPath, status: int, detail: str
    ) -> None:
        """Answer what was no proper call, but told how it can be answered."""
        self.counters.malformed += 1
        outcome = problem(status, detail, executed="no")
        item = Response(0, outcome.status, outcome.headers, outcome.body)
        self._outbox.messages.append((address, return_path.encode(item)))

    @property
    def slow_clients(self) -> set[bytes]:
        """Addresses of clients that do not read what they asked for, kept by the transport."""
        return self._dispatcher.slow

    @slow_clients.setter
    def slow_clients(self, addresses: set[bytes]) -> None:
        self._dispatcher.slow = addresses

    @property
    def held_bytes(self) -> int:
        """How many bytes the bodies have of calls that wait, or that workers were given."""
        return self._dispatcher.held_bytes

    def note_unsent(self, size: int) -> None:
        """Note how many bytes wait for clients that have not read them: they are held, too."""
        self._dispatcher.unsent_bytes = size

    def give_up_slow(self, address: bytes, unsent: Sequence[Response] = ()) -> None:
        """Be told that what was sent to a client was dropped: it does not read.

        Its calls in flight end with a 502, and so do those whose responses are ``unsent``. (A
        refusal among these is said again: it is small.)
        """
        outcome = problem(502, refusals.UNREAD, executed="maybe")
        for peer in self._clients.at(address):
            for flight in list(peer.flights.values()):
                self.counters.lost += 1
                self._dispatcher.stop(flight, refusals.unread(flight))
        for item in unsent:
            if item.status < 400:
                item = Response(item.id, outcome.status, outcome.headers, outcome.body)
            self._outbox.say(address, item)

    def lose(self, address: bytes) -> None:
        """Be told that no client is at ``address`` any more: its calls are given up."""
        for peer in self._clients.forget(address):
            self._outbox.events.append(Event("client-gone", peer.instance))
            for flight in list(peer.flights.values()):
                self._give_up(flight)

    def miss(self, address: bytes, items: Iterable[Item], now: float) -> None:
        """Be told that nobody is connected at ``address``: ``items`` could not be sent.

        A native client may come back: its calls go on for a while. Others are lost at once.
        """
        if not self._clients.miss(address, items, now):
            self.lose(address)

    def _greet(self, address: bytes, items: Sequence[Item], now: float) -> Peer | None:
        first = items[0]
        if not isinstance(first, Hello):
            # We have given it up, or it speaks to the broker that was here before us: it is told
            # that we do not know it, and which of its calls nobody has looked at.
            ids = [item.id for item in items if isinstance(item, Call)]
            self._outbox.say(address, Goaway("unknown", min(ids) - 1 if ids else -1))
            return None
        peer = self._clients.greet(address, first, now)
        if peer is None:
            return None
        if first.resumes:
            for flight in list(peer.flights.values()):
                if flight.id not in first.in_flight:
                    self._give_up(flight)  # while it was away its caller has gone
        if self.is_draining:
            self._outbox.say(address, Goaway("draining"))
        return peer

    def _cancel(self, peer: Peer, call_id: int) -> None:
        flight = peer.flights.get(call_id)
        if flight is not None:  # else it has just been answered
            self._give_up(flight)

    def _give_up(self, flight: Flight) -> None:
        self.counters.cancelled += 1
        self._dispatcher.stop(flight)

    def note_fault(self, error: Exception) -> None:
        """Be told of an exception that the driver has survived."""
        self._guard.note(error)

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest; infinity if nothing is expected."""
        # By two, which compiled code compares without a call.
        soon = min(self._dispatcher.next_tick, self._clients.next_tick)
        soon = min(soon, self._sessions.next_heartbeat)
        soon = min(soon, self._intake.next_tick)
        return min(soon, self.refused_workers.next_tick)

    def tick(self, now: float) -> None:
        """Let time pass: end what is due, beat, and give up who has been silent."""
        self._dispatcher.now = now
        for flight in self._dispatcher.deadlines.due(now):
            try:
                self.counters.expired += 1
                self._dispatcher.stop(flight, refusals.expiry(flight))
            except Exception as error:
                self._guard.note(error)
        self._dispatcher.tick(now)
        self._intake.tick(now)
        for peer in self._clients.overdue(now):
            self.lose(peer.address)
        self._clients.tick(now)
        self._sessions.tick(now)
        self.refused_workers.tick(now)

    # -- the end -----------------------------------------------------------------------

    def drain(self) -> None:
        """Take no new calls from now on, and say so to every native client."""
        self._intake.is_draining = True
        self._outbox.events.append(Event("drain"))
        self._clients.say_to_all(Goaway("draining"))

    def dismiss_workers(self) -> None:
        """Tell every worker on the backend to go."""
        self._sessions.dismiss_all()

    def say_goodbye(self) -> None:
        """Tell every native client that this was the last message that was read."""
        self._clients.say_goodbye()

    def give_up_all(self) -> None:
        """Stop and answer every call that is in flight: the time for draining is over."""
        for peer in self._clients.all():
            for flight in list(peer.flights.values()):
                if flight.attempts:
                    self.counters.lost += 1
                    self._dispatcher.stop(flight, refusals.lost(flight))
                else:
                    self._dispatcher.turn_away(flight)
