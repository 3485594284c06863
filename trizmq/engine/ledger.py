"""The book of the calls in flight: each is opened, and closed once, with an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..admission import Event
from . import refusals
from .bounds import body_size
from .deadlines import Deadlines
from .replies import Replies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..messages import Response as Outcome
    from .clients import Clients
    from .counters import Counters
    from .limits import Limits
    from .outbox import Outbox
    from .records import Flight

__all__ = ["Ledger"]

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
        flight.held = held = body_size(flight)
        self.held_bytes += held
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
        self.held_bytes -= flight.held
        flight.held = 0
