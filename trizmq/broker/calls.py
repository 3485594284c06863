"""The calls of the broker: a record for each, and its states.

Rules. Only this module changes the state and the worker of a call, and the counts of calls and
bytes. Each method of `Calls` is one transition of `TRANSITIONS`. A transition that is not in that
table is a bug in the broker, and raises.
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
    """The state of a call in the broker.

    =========  ========================================================================
    OPEN       it was read; it is not in a queue, and no worker has it
    QUEUED     it waits for a worker
    ASSIGNED   a worker has it
    LINGERING  its caller has its outcome, or has gone; its worker still has it
    ENDED      nothing is left to do
    =========  ========================================================================

    A call counts against its worker's capacity until the worker has reported its end: a handler
    that ignores its cancellation still runs, so its call lingers.
    """

    OPEN = _OPEN
    QUEUED = _QUEUED
    ASSIGNED = _ASSIGNED
    LINGERING = _LINGERING
    ENDED = _ENDED


#: For each state, the methods of `Calls` that may change it, and the state that follows.
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
        "release": CallState.OPEN,  # its worker was lost, or did not get it
        "end": CallState.LINGERING,
    },
    CallState.LINGERING: {
        "release": CallState.ENDED,
    },
    CallState.ENDED: {},
}

#: The same as bits, one integer for each state.
_MAY_BECOME: Final = [
    sum(1 << following for following in TRANSITIONS[state].values()) for state in CallState
]


@final
class Flight(Queued):
    """A call, from the moment that it is read to its end.

    Attributes:
      peer: the client that made it.
      return_path: the way back to its client, in dialects where it differs between calls.
      worker: the worker that has it, or had it last.
      token: its id at that worker.
      wanted: the only worker that may have it, if a hook chose one.
      attempts: the number of times that it was dispatched.
      given_at: the time when it was dispatched last.
      is_measured: whether the time that its worker takes counts for the service's estimate.
      held: the bytes of its body; 0 when they no longer count.
      parts: the number of parts sent to the client; ``sent``: the number of bytes.
      has_begun: whether the head of a stream was sent to the client.
      gathered: frames of parts that are kept until the response ends.

    """

    # Not a dataclass, because one is made for each call.
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
        self.has_begun = False
        self.gathered: list[bytes] = []
        self._state = _OPEN

    @property
    def state(self) -> CallState:
        """The state of the call."""
        return CallState(self._state)

    @property
    def is_queued(self) -> bool:
        """Whether it waits for a worker."""
        return self._state == _QUEUED

    @property
    def has_worker(self) -> bool:
        """Whether a worker has it, even if its caller has gone."""
        return self._state == _ASSIGNED or self._state == _LINGERING

    @property
    def may_be_repeated(self) -> bool:
        """Whether another worker may get it: it is idempotent, and no part was sent."""
        is_idempotent = self.method in IDEMPOTENT_METHODS or "idempotency-key" in self.headers
        return is_idempotent and not self.parts and not self.has_begun

    @property
    def queue(self) -> RequestQueue[Flight]:
        """The queue in which it waits for a worker."""
        return self.service.queue if self.wanted is None else self.wanted.queue

    def become(self, state: int) -> None:
        """Change its state. Only `Calls` may call this."""
        if not _MAY_BECOME[self._state] >> state & 1:
            raise RuntimeError(f"a call that is {self.state.name} cannot become {state}")
        self._state = state


@final
class Calls:
    """Changes the states of calls, and counts calls and bytes.

    Attributes:
      in_flight: the number of calls that have not ended for their callers.
      queued_bytes: about the number of bytes that the waiting calls occupy.
      held_bytes: the bytes of the bodies of calls that wait, or that workers have.
      unsent_bytes: the bytes that clients had not read yet when this was last recorded.
      deadlines: the deadline of each call that has not ended.

    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.queued_bytes = 0
        self.held_bytes = 0
        self.unsent_bytes = 0
        self.deadlines: Deadlines[Flight] = Deadlines()

    def open(self, flight: Flight) -> None:
        """Record a new call. From now on, it ends exactly once."""
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
        """Put a call at the end of its connection's line, or at the front of the queue."""
        flight.become(_QUEUED)
        flight.size = size_of(flight)
        self.queued_bytes += flight.size
        if at_front:
            flight.queue.push_front(flight)
        else:
            flight.queue.push(flight)

    def take(self, queue: RequestQueue[Flight]) -> Flight | None:
        """Remove and return the next call of ``queue``; None if none waits."""
        return self._took(queue.pop())

    def take_suspect(self, queue: RequestQueue[Flight]) -> Flight | None:
        """Remove and return the next suspect of ``queue``; None if none waits."""
        return self._took(queue.pop_suspect() if queue.has_suspects else None)

    def _took(self, flight: Flight | None) -> Flight | None:
        if flight is not None:
            flight.become(_OPEN)
            self.queued_bytes -= flight.size
        return flight

    def assign(self, flight: Flight, worker: Worker) -> None:
        """Record that ``worker`` gets the call."""
        flight.become(_ASSIGNED)
        flight.worker = worker
        flight.attempts += 1
        flight.service.in_flight += 1
        worker.busy += 1
        worker.held += flight.held

    def release(self, flight: Flight) -> None:
        """Record that the worker does not have the call any more.

        If the caller still waits, the call is open again, and another worker may get it.
        """
        worker = flight.worker
        assert worker is not None
        flight.become(_ENDED if flight.ended else _OPEN)
        if worker.flights:  # a worker in this process has no tokens
            worker.flights.pop(flight.token, None)
        worker.busy -= 1
        worker.held -= flight.held
        flight.service.in_flight -= 1
        if flight.ended:
            self._drop_body(flight)

    def end(self, flight: Flight) -> None:
        """Record that the caller has the outcome of the call, or has gone."""
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
