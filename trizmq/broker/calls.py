"""The broker's calls: one record for each, and the states that it passes through.

Rules. Everything about where a call stands is decided here: no other module sets its state, its
worker, or what is counted of it. Each method of `Calls` is one step of `TRANSITIONS`; a step that
is not in that table is a fault of the broker's, and raises.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, final

from ..bounds import body_size, size_of
from ..deadlines import Deadlines
from ..messages import IDEMPOTENT_METHODS
from .queues import Queued

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..wire.items import Call
    from ..wire.return_path import ReturnPath
    from .clients import Peer
    from .queues import RequestQueue
    from .services import Service
    from .workers import Token, Worker

__all__ = ["TRANSITIONS", "CallState", "Calls", "Flight"]

# Integers of our own, because compiled code looks up an enum's member like any attribute.
_OPEN: Final = 0
_QUEUED: Final = 1
_ASSIGNED: Final = 2
_LINGERING: Final = 3
_ENDED: Final = 4


class CallState(IntEnum):
    """Where a call stands in the broker.

    =========  ========================================================================
    OPEN       it was read, and neither waits nor is at a worker
    QUEUED     it waits for a worker
    ASSIGNED   a worker has it
    LINGERING  its caller has had its outcome, or has gone; its worker still has it
    ENDED      nothing is left to be done
    =========  ========================================================================

    The room of a worker comes back only when the worker says so: a handler that ignores its
    cancellation keeps its room, and so its call lingers.
    """

    OPEN = _OPEN
    QUEUED = _QUEUED
    ASSIGNED = _ASSIGNED
    LINGERING = _LINGERING
    ENDED = _ENDED


#: The states that may follow each state, by the method of `Calls` that leads there.
TRANSITIONS: Final[Mapping[CallState, Mapping[str, CallState]]] = {
    CallState.OPEN: {
        "queue": CallState.QUEUED,
        "assign": CallState.ASSIGNED,
        "end": CallState.ENDED,
    },
    CallState.QUEUED: {
        "take": CallState.OPEN,
        "end": CallState.ENDED,
    },
    CallState.ASSIGNED: {
        "release": CallState.OPEN,  # its worker was lost, or never got it
        "end": CallState.LINGERING,
    },
    CallState.LINGERING: {
        "release": CallState.ENDED,
    },
    CallState.ENDED: {},
}

#: The same as bits, for each state in its order.
_MAY_BECOME: Final = [
    sum(1 << following for following in TRANSITIONS[state].values()) for state in CallState
]


@final
class Flight(Queued):
    """One call in flight, from its being read to its end.

    Attributes:
      peer: the client that made it.
      return_path: how to answer it, in a dialect where that is not the same for all calls.
      worker: the worker that has it, or had it last.
      token: what that worker knows it by.
      wanted: the one worker that may have it, if a hook has said so.
      attempts: how often it was given to a worker.
      given_at: when it was given to its worker.
      is_measured: whether the time that its worker takes counts for the service's estimate.
      held: bytes of its body, as long as they are counted.
      parts: how many parts of its response its caller was sent; ``sent``: how many bytes.
      gathered: frames of parts that wait for the end.

    """

    # Written out, not a dataclass: one is made for each call.
    def __init__(
        self,
        peer: Peer,
        call: Call,
        deadline: float,
        service: Service,
        return_path: ReturnPath | None = None,
    ) -> None:
        super().__init__(call, deadline, "", peer.connection, peer)
        if not self.request_id:
            self.request_id = f"{peer.instance}-{self.id}"
        self.peer = peer
        self.service = service
        self.return_path = return_path
        self.worker: Worker | None = None
        self.wanted: Worker | None = None
        self.token: Token = 0
        self.attempts = 0
        self.given_at = 0.0
        self.is_measured = False
        self.held = 0
        self.parts = 0
        self.sent = 0
        self.gathered: list[bytes] = []
        self._state = _OPEN

    @property
    def state(self) -> CallState:
        """Where it stands."""
        return CallState(self._state)

    @property
    def is_queued(self) -> bool:
        """Whether it waits for a worker."""
        return self._state == _QUEUED

    @property
    def has_worker(self) -> bool:
        """Whether a worker has it, even though its caller may have gone."""
        return self._state == _ASSIGNED or self._state == _LINGERING

    @property
    def may_be_repeated(self) -> bool:
        """Whether a second worker may be given it: it is idempotent, and nothing was sent."""
        is_idempotent = self.method in IDEMPOTENT_METHODS or "idempotency-key" in self.headers
        return is_idempotent and not self.parts

    @property
    def queue(self) -> RequestQueue[Flight]:
        """The queue in which it waits for a worker."""
        return self.service.queue if self.wanted is None else self.wanted.queue

    def become(self, state: int) -> None:
        """Change its state; for `Calls` alone."""
        if not _MAY_BECOME[self._state] >> state & 1:
            raise RuntimeError(f"a call that is {self.state.name} cannot become {state}")
        self._state = state


@final
class Calls:
    """Moves each call from state to state, and counts calls and bytes.

    Attributes:
      in_flight: calls that have not ended for their callers.
      queued_bytes: about how many bytes the calls keep that wait.
      held_bytes: bytes of the bodies of calls that wait, or that workers have.
      unsent_bytes: bytes that were sent to clients and not read by them, as last noted.
      deadlines: when each call that has not ended is due.

    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.queued_bytes = 0
        self.held_bytes = 0
        self.unsent_bytes = 0
        self.deadlines: Deadlines[Flight] = Deadlines()

    def open(self, flight: Flight) -> None:
        """Take in a call; from now on it ends exactly once."""
        peer = flight.peer
        peer.flights[flight.id] = flight
        flight.connection.calls += 1
        if flight.body:
            flight.held = held = body_size(flight)
            self.held_bytes += held
            flight.connection.held += held
        self.deadlines.add(flight.deadline, flight)
        self.in_flight += 1

    def queue(self, flight: Flight, *, at_front: bool = False) -> None:
        """Let it wait for a worker: behind all others of its connection, or before all."""
        flight.become(_QUEUED)
        flight.size = size_of(flight)
        self.queued_bytes += flight.size
        if at_front:
            flight.queue.push_front(flight)
        else:
            flight.queue.push(flight)

    def take(self, queue: RequestQueue[Flight]) -> Flight | None:
        """Take the next call out of its queue, or return None if none waits."""
        return self._took(queue.pop())

    def take_suspect(self, queue: RequestQueue[Flight]) -> Flight | None:
        """Likewise, of the calls that are given to a worker alone."""
        return self._took(queue.pop_suspect() if queue.has_suspects else None)

    def _took(self, flight: Flight | None) -> Flight | None:
        if flight is not None:
            flight.become(_OPEN)
            self.queued_bytes -= flight.size
        return flight

    def assign(self, flight: Flight, worker: Worker) -> None:
        """Note that ``worker`` is given it."""
        flight.become(_ASSIGNED)
        flight.worker = worker
        flight.attempts += 1
        flight.service.in_flight += 1
        worker.busy += 1
        worker.held += flight.held

    def release(self, flight: Flight) -> None:
        """Note that its worker does not have it any more.

        If its caller still waits it is open again, and another worker may have it.
        """
        worker = flight.worker
        assert worker is not None
        flight.become(_ENDED if flight.ended else _OPEN)
        if worker.flights:  # a worker in this process needs no tokens
            worker.flights.pop(flight.token, None)
        worker.busy -= 1
        worker.held -= flight.held
        flight.service.in_flight -= 1
        if flight.ended:
            self._drop_body(flight)

    def end(self, flight: Flight) -> None:
        """Note that its caller has had its outcome, or has gone."""
        if flight.ended:
            raise RuntimeError("a call ends once for its caller")
        if flight._state == _QUEUED:
            flight.queue.leave(flight)
            self.queued_bytes -= flight.size
        flight.become(_LINGERING if flight._state == _ASSIGNED else _ENDED)
        flight.ended = True
        self.in_flight -= 1
        self.deadlines.forget()
        flight.body = b""  # the record stays in the heap of deadlines for a while
        if flight.gathered:
            flight.gathered = []
        del flight.peer.flights[flight.id]
        flight.connection.calls -= 1
        if flight._state == _ENDED:
            self._drop_body(flight)

    def _drop_body(self, flight: Flight) -> None:
        if flight.held:
            self.held_bytes -= flight.held
            flight.connection.held -= flight.held
            flight.held = 0
