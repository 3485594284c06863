"""The calls in flight, counted; those that wait, let in or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..admission import Event
from ..bounds import body_size, size_of
from ..deadlines import Deadlines
from . import refusals
from .replies import Replies
from .services import Roster
from .shedding import Shedding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..limits import Limits
    from ..messages import Response as Outcome
    from .calls import Connection, Flight
    from .clients import Clients
    from .outbox import Counters, Outbox
    from .queues import RequestQueue
    from .workers import Worker

__all__ = ["Backlog", "Ledger"]


#: A caller that is refused is told to come back after the wait that it was spared, in
#: milliseconds, but not later than this.
MAX_RETRY_AFTER: Final = 10_000


class Ledger:
    """Counts calls and their bytes, and tells callers how their calls have ended."""

    def __init__(
        self, limits: Limits, counters: Counters, outbox: Outbox, clients: Clients
    ) -> None:
        self.in_flight = 0
        self.queued_bytes = 0
        self.held_bytes = 0  # bodies of calls that wait, or that workers were given
        self.unsent_bytes = 0  # sent to clients that have not read it, as last told
        self.slow: set[bytes] = set()  # clients that do not read what they asked for
        self.deadlines: Deadlines[Flight] = Deadlines()
        self.now = 0.0  # as last told: the deadlines that workers are given count from it
        self._limits = limits
        self._counters = counters
        self._clients = clients
        self._outbox = outbox
        self._replies = Replies(limits, outbox)

    def open(self, flight: Flight) -> None:
        """Take in a call; from now on it ends exactly once."""
        peer = flight.peer
        peer.flights[flight.id] = flight
        peer.connection.calls += 1
        if flight.body:
            flight.held = held = body_size(flight)
            self.held_bytes += held
            peer.connection.held += held
        self.deadlines.add(flight.deadline, flight)
        self._counters.calls += 1
        self.in_flight += 1

    def turn_away(self, flight: Flight) -> None:
        """End a call that no worker was given: this broker drains, and another may take it."""
        self._counters.refused += 1
        retry_after_ms = self._limits.retry_after_ms
        outcome = refusals.draining(flight, retry_after_ms=retry_after_ms)
        self.answer(flight, outcome, taken=False)

    def refuse(self, flight: Flight, status: int, detail: str) -> None:
        """End a call with a 429 or 503."""
        self._counters.refused += 1
        retry = self._limits.retry_after_ms
        self.answer(flight, refusals.busy(flight, status, detail, retry_after_ms=retry))

    def refuse_late(self, flight: Flight, wait: float) -> None:
        """End a call that would be answered too late."""
        self._counters.refused += 1
        retry = max(self._limits.retry_after_ms, min(int(wait * 1000), MAX_RETRY_AFTER))
        detail = f"service {flight.service.name} is overloaded: no answer would come in time"
        self.answer(flight, refusals.busy(flight, 503, detail, retry_after_ms=retry))

    def respond(self, flight: Flight, response: Outcome) -> None:
        """End a call with a response and the parts before it, or a 500 if these are too large."""
        oversize: str | None = None
        if flight.gathered or not flight.is_local:  # the local worker has looked itself
            oversize = self._replies.find_oversize(flight, response)
        if self.slow and flight.peer.address in self.slow:
            self.answer(flight, refusals.unread(flight))
        elif oversize is None:
            self.answer(flight, response, flight.gathered)
        else:
            self.note_oversize(flight, oversize)
            self.answer(flight, refusals.refusal(flight, 500, oversize, executed="maybe"))

    def note_oversize(self, flight: Flight, detail: str) -> None:
        """Say, for the log, that a response or a part was too large."""
        path, _, _ = flight.target.partition("?")
        reason = f"{flight.method} {path}: {detail}; answered 500 (request {flight.request_id})"
        name = flight.worker.name if flight.worker is not None else ""
        self._outbox.events.append(Event("oversize", name, (flight.service.name,), reason))

    def answer(
        self,
        flight: Flight,
        outcome: Outcome,
        gathered: Sequence[bytes] = (),
        *,
        taken: bool = True,
    ) -> None:
        """End a call, and tell its caller how; ``gathered`` are frames ahead of the body."""
        peer = flight.peer
        item = self._replies.end(flight, outcome, gathered, taken=taken)
        # Closed only when it is sure that there is something to send: a call that is neither in
        # flight nor answered would leave its caller waiting.
        if flight.return_path is None:
            self.close(flight)
            peer.was_told = True
            self._outbox.say(peer.address, item)
        else:
            frames = flight.return_path.encode(item)
            self.close(flight)
            self._outbox.messages.append((peer.address, frames))

    def close(self, flight: Flight) -> None:
        """Take the call out of everything but its worker. Every call passes here, once."""
        self._close(flight)
        if flight.peer.envelope is not None:
            self._clients.forget_if_idle(flight.peer)

    def _close(self, flight: Flight) -> None:
        flight.ended = True
        self.in_flight -= 1
        self.deadlines.forget()
        flight.body = b""  # the record stays in the heap of deadlines for a while
        if flight.gathered:
            flight.gathered = []
        del flight.peer.flights[flight.id]
        flight.peer.connection.calls -= 1
        if flight.is_queued:
            flight.is_queued = False
            flight.queue.leave(flight)
            self.queued_bytes -= flight.size
        if flight.worker is None:
            self.let_go(flight)

    def take_out(self, flight: Flight) -> None:
        """Note that ``flight`` was taken out of its queue."""
        flight.is_queued = False
        self.queued_bytes -= flight.size

    def let_go(self, flight: Flight) -> None:
        """Count the body of ``flight`` no more: nobody keeps it."""
        if flight.held:
            self.held_bytes -= flight.held
            flight.peer.connection.held -= flight.held
            flight.held = 0


class Backlog(Ledger):
    """Fills and empties the queues of services, within the limits, and within the deadlines."""

    def __init__(
        self, limits: Limits, counters: Counters, outbox: Outbox, clients: Clients
    ) -> None:
        super().__init__(limits, counters, outbox, clients)
        self.roster = Roster(limits)
        self.services = self.roster.services
        self._shedding = Shedding(self.services)

    def wait(self, flight: Flight) -> None:
        """Let an open call wait for a worker, or refuse it."""
        queue, size = flight.queue, size_of(flight)
        if self._is_full(queue, size) and (last := queue.surplus(flight.peer.connection)):
            self.refuse(last, 503, f"service {last.service.name} is overloaded")
        if self._is_full(queue, size):
            self.refuse(flight, 503, f"service {flight.service.name} is overloaded")
        elif flight.peer.connection.queued_bytes + size > self._limits.client_bytes:
            self.refuse(flight, 429, "this client has too many bytes waiting")
        elif wait := self._shedding.refuses(flight, self.now):
            self.refuse_late(flight, wait)
        else:
            flight.size = size
            flight.is_queued = True
            self.queued_bytes += size
            queue.push(flight)

    def _is_full(self, queue: RequestQueue, size: int) -> bool:
        limits = self._limits
        return (
            queue.count >= limits.service_calls
            or queue.bytes + size > limits.service_bytes
            or self.queued_bytes + size > limits.broker_bytes
        )

    def wait_again(self, flight: Flight) -> None:
        """Let a call wait, before all others, that its worker does not have any more."""
        flight.worker = flight.wanted = None
        flight.gathered.clear()
        flight.size = size_of(flight)
        flight.is_queued = True
        self.queued_bytes += flight.size
        flight.queue.push_front(flight)

    def next_for(self, worker: Worker) -> Flight | None:
        """Take the next call for ``worker`` that can still be answered in time."""
        while flight := self._pop(worker):
            self.take_out(flight)
            if not self._shedding.is_too_late(flight, self.now):
                return flight
            flight.service.is_overloaded = True
            self.refuse_late(flight, 0.0)
            self._refuse_oldest(flight.queue, flight.peer.connection)
        return None

    def _pop(self, worker: Worker) -> Flight | None:
        if worker.queue.count:
            return worker.queue.pop()
        crew = worker.crew
        if crew is None:
            return None
        names = crew.services
        for turn, name in enumerate(names, 1):
            service = self.services[name]
            if flight := service.queue.pop():
                crew.services = names[turn:] + names[:turn]  # next time the others are first
                return flight
            service.is_overloaded = False
        return None

    def _refuse_oldest(self, queue: RequestQueue, connection: Connection) -> None:
        """Refuse the oldest calls of a connection that would be too late if they went last."""
        while line := queue.line(connection):
            oldest = line.oldest
            wait = self._shedding.wait(oldest, queue.before(connection))
            if not self._shedding.is_too_late(oldest, self.now, wait):
                return
            self.refuse_late(oldest, wait)
