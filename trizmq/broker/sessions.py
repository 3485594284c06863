"""The sessions of the workers at one socket: their begin, their end, and the calls they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..admission import Event
from ..errors import LocalProtocolError
from ..messages import Headers, no_headers
from ..messages import Response as Outcome
from ..names import are_fields_normal, check_fields
from ..wire.items import Call, frames_of
from . import refusals
from .outbox import SocketOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..wire.items import Item, Response
    from .calls import Flight
    from .dispatcher import Dispatcher
    from .outbox import Context
    from .ports import RemotePort
    from .workers import Token

__all__ = ["Sessions"]


class Sessions:
    """One session for each worker at one socket; `Backend` reads what the workers send.

    ``respond`` ends a call with its worker's response, unless a hook has another idea.
    """

    def __init__(
        self,
        context: Context,
        dispatcher: Dispatcher,
        respond: Callable[[Flight, Outcome], None],
    ) -> None:
        self.outbox = SocketOutbox()
        self.workers: dict[bytes, RemotePort] = {}
        self.next_tick = float("inf")
        self._context = context
        self._limits = context.limits
        self._counters = context.counters
        self._dispatcher = dispatcher
        self._respond = respond
        self._takes = context.limits.takes

    def message_bytes(self, address: bytes) -> int:
        """Return how large a message to the native worker at ``address`` may be."""
        worker = self.workers.get(address)
        takes = worker.takes if worker is not None else None
        return (takes or self._takes).message_bytes

    def take_back(self, address: bytes, item: Item) -> None:
        """Take back ``item``, if it is a call: it could not be written for the worker there."""
        worker = self.workers.get(address)
        flight = worker.flights.get(item.id) if worker and isinstance(item, Call) else None
        if flight is not None:
            if not flight.ended:
                self._counters.lost += 1
                detail = "the call is too large for its worker"
                outcome = refusals.refusal(flight, 500, detail, executed="no")
                self._dispatcher.replies.answer(flight, outcome)
            self._dispatcher.release(flight)

    def finish(self, flight: Flight, item: Response) -> None:
        """End a call with what its worker says of it."""
        if flight.ended:
            self._counters.late += not item.stopped
        elif item.stopped:
            # By its own clock the deadline has passed: ours would say so in a moment.
            self._counters.expired += 1
            self._dispatcher.replies.answer(flight, refusals.expiry(flight))
        else:
            self._end_with(flight, item)
        self._dispatcher.release(flight, was_stopped=item.stopped)

    def _end_with(self, flight: Flight, item: Response) -> None:
        status = item.status
        try:
            fields = _checked(status, item.headers)
        except LocalProtocolError as error:
            self._fail(flight, f"the worker answered with {error}")
        else:
            frames = frames_of(item.body)
            if status >= 400:
                flight.gathered.clear()  # what was sent before it failed
            flight.gathered += frames[:-1]  # so that their boundaries are kept
            self._respond(flight, Outcome(status, fields, frames[-1]))

    def _fail(self, flight: Flight, detail: str) -> None:
        """End a call with a 502: its worker's answer is of no use."""
        self._counters.lost += 1
        outcome = refusals.refusal(flight, 502, detail, executed="maybe")
        self._dispatcher.replies.answer(flight, outcome)

    def has_room_for(self, services: Collection[str]) -> bool:
        """Tell whether one more worker, with ``services``, is within the limits."""
        roster = self._dispatcher.roster
        return roster.workers < self._limits.workers and roster.has_room_for(services)

    def note_heard(self, worker: RemotePort, now: float) -> None:
        """Take note that ``worker`` has sent something."""
        worker.heard_at = now
        if worker.is_quiet:
            self._dispatcher.note_heard(worker)

    def welcome(self, worker: RemotePort, now: float) -> None:
        """Begin a session."""
        if not self.workers:
            self.next_tick = now + self._limits.heartbeat
        worker.heard_at = now
        self.workers[worker.address] = worker
        self._note("worker-ready", worker, worker.dialect)
        self._dispatcher.join(worker)

    def dismiss(self, worker: RemotePort, reason: str) -> None:
        """Send a worker away: what it sent is out of place."""
        self._counters.disconnected += 1
        self._lose(worker.address, reason)
        worker.dismiss("unknown")

    def lose(
        self,
        address: bytes,
        now: float,
        reason: str = "it is not connected",
        undelivered: Collection[Token] = (),
    ) -> None:
        """End the session at ``address``, if there is one; its calls go to others.

        Args:
          reason: for the log.
          undelivered: tokens of calls that it was certainly never sent.

        """
        self._dispatcher.now = now
        self._lose(address, reason, undelivered)

    def _lose(
        self,
        address: bytes,
        reason: str,
        undelivered: Collection[Token] = (),
        *,
        is_goodbye: bool = False,
    ) -> None:
        """As `lose`; ``is_goodbye``: the worker itself has ended the session."""
        worker = self.workers.pop(address, None)
        if worker is None:
            return
        left = worker.is_leaving or is_goodbye
        held: list[Flight] = [
            one for one in worker.flights.values() if one.token not in undelivered
        ]
        self._note(
            "worker-left" if left else "worker-lost", worker, reason + refusals.in_words(held)
        )
        self._dispatcher.lose(worker, is_death=not is_goodbye, undelivered=undelivered)

    def lose_named(self, name: str, reason: str) -> None:
        """End the sessions of the worker that calls itself ``name``: its process has ended."""
        for address, worker in list(self.workers.items()):
            if worker.name == name:
                self._lose(address, reason)

    def say_goodbye(self, now: float) -> None:
        """Send every worker away, once: the socket is about to be closed."""
        self._dispatcher.now = now
        for worker in self.workers.values():
            if not worker.is_leaving:
                self._dispatcher.retire(worker)
                worker.dismiss("closing")

    def close(self, now: float) -> None:
        """End every session: the socket is closed."""
        self._dispatcher.now = now
        for address in list(self.workers):
            self._lose(address, "its port was closed")

    def tick(self, now: float) -> None:
        """Send heartbeats, and end the sessions of workers that were silent for too long."""
        if now < self.next_tick:
            return
        for address, worker in list(self.workers.items()):
            # If we come late, nobody listened meanwhile: that is not the worker's silence.
            worker.heard_at += now - self.next_tick
            if now - worker.heard_at > worker.patience(self._limits):
                self._lose(address, f"silent for {now - worker.heard_at:.1f} s")
            else:
                worker.beat()
            worker.was_told = False
        interval = self._limits.heartbeat
        self.next_tick = now + interval if self.workers else float("inf")

    def _note(self, kind: str, worker: RemotePort, reason: str) -> None:
        self._context.outbox.events.append(Event(kind, worker.name, worker.services, reason))


def _checked(status: int, headers: dict[str, str]) -> Headers:
    if not 100 <= status <= 599:
        raise LocalProtocolError(f"the status {status}")
    if not headers:
        return no_headers()
    return Headers(headers if are_fields_normal(headers) else check_fields(headers.items()))
