"""Limits of the queue: which calls may wait, and which are refused when too many do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..bounds import size_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..limits import Limits
    from .calls import Calls, Flight
    from .queues import Connection, RequestQueue
    from .services import Service
    from .statuses import Replies
    from .workers import Worker

__all__ = ["Backlog", "Shedding"]


#: How much of the time that a call has may be spent in the queue: nearly all of it; but once
#: a service is overloaded, so much of it that what is estimated may be wrong.
USUALLY: Final = 0.9

OVERLOADED: Final = 0.25

#: One in so many is served all the same, so that an estimate that has become wrong recovers.
SPARED: Final = 50

#: MDP has no word for a deadline. Of a connection whose calls would wait for so many seconds
#: the newest is served first: its caller may still wait. With a whole second a third of the
#: capacity was spent on callers that had gone, where these wait for 0.3 s and the load is 1.2
#: times what can be served: there it takes five seconds until the queue is so long.
PATIENCE: Final = 0.25

#: Of the calls that did not have to wait one in so many is measured, and each that comes so many
#: seconds after the last. (A prime: calls of two routes that come in turn are both measured.)
MEASURED: Final = 31

UNMEASURED: Final = 0.01


@final
class Shedding:
    """Decides by the time that a call has, the calls before it, and how long these take.

    Theory of operation. More calls than can be served are no harm as long as those are
    refused that could not be served in time. Then the workers serve only callers that still
    wait, and a refused caller knows it at once, and can go elsewhere. So:

    1. A call that has to wait is refused if the calls before it need longer than it has.
       From then until its queue has been empty the service is *overloaded*, and a call may
       spend a quarter of its time in the queue, not all: estimates are wrong at times, and
       a queue as long as the deadline makes of each mistake a call that was served in vain.
    2. A call whose turn it is, and that has less time left than its route usually needs, is
       refused: something is worse than was estimated. With it go the oldest calls of its
       connection that would be too late were they served last. So the newest that can still
       make it are next, not those that miss their deadlines one after another.
    3. MDP has no deadlines. Where calls of a connection would wait for more than `PATIENCE`,
       the newest goes first, until none of them waits.

    A call that finds a free worker is never refused here, and what is not known is not
    estimated: the first calls of a service are all taken.
    """

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._spared = 0
        self._unmeasured = 0
        self._measured_at = 0.0

    def note_start(self, flight: Flight, now: float) -> None:
        """Note that a worker is given a call, and decide whether it is measured."""
        flight.given_at = now
        self._unmeasured += 1
        if (
            flight.size
            or self._unmeasured >= MEASURED
            or now - self._measured_at >= UNMEASURED
            or not flight.service.estimates.whole.is_known
        ):
            self._unmeasured, self._measured_at = 0, now
            flight.is_measured = True

    def note_end(self, flight: Flight, now: float, *, was_stopped: bool) -> None:
        """Note that a worker is done with a call."""
        if flight.is_measured:
            seconds = max(0.0, now - flight.given_at)
            flight.service.estimates.add(flight, seconds, was_stopped=was_stopped)

    def wait(self, flight: Flight, before: int) -> float:
        """Return how long a call is likely to wait; 0 if that is not known."""
        service = flight.service
        usual = service.estimates.whole
        if not (usual.is_known and before):
            return 0.0
        capacity = 0
        for crew in service.crews:
            capacity += crew.capacity
            for name in crew.services:  # their calls take turns with ours
                if name != service.name:
                    before += min(before, self._services[name].queue.count)
        return before * usual.seconds / capacity if capacity else 0.0

    def refuses(self, flight: Flight, now: float) -> float:
        """Tell whether a call should not wait: after how many seconds it may; 0: it should."""
        service, connection = flight.service, flight.connection
        if flight.wanted is not None:
            return 0.0
        wait = self.wait(flight, service.queue.before(connection))
        if not wait:
            return 0.0
        spare = flight.deadline - now - service.estimates.usual(flight)
        if wait > spare * (OVERLOADED if service.is_overloaded else USUALLY):
            service.is_overloaded |= spare > 0.0  # else its route is slow, not the queue long
            return 0.0 if self._spares() else wait
        if wait > PATIENCE and flight.peer.pipelines:
            line = service.queue.line(connection)
            if line is not None:
                line.newest_first = True
        return 0.0

    def is_too_late(self, flight: Flight, now: float, wait: float = 0.0) -> bool:
        """Tell whether it is too late to give a call to a worker, ``wait`` seconds from now."""
        usual = flight.service.estimates.usual(flight)
        return bool(usual) and flight.deadline - now - wait < usual and not self._spares()

    def _spares(self) -> bool:
        self._spared += 1
        if self._spared < SPARED:
            return False
        self._spared = 0
        return True


@final
class Backlog:
    """Fills and empties the queues of services, within the limits, and within the deadlines."""

    def __init__(
        self, limits: Limits, services: Mapping[str, Service], calls: Calls, replies: Replies
    ) -> None:
        self.shedding = Shedding(services)
        self._limits = limits
        self._services = services
        self._calls = calls
        self._replies = replies

    def wait(self, flight: Flight, now: float) -> None:
        """Let an open call wait for a worker, or refuse it."""
        queue, size = flight.queue, size_of(flight)
        if self._is_full(queue, size) and (last := queue.surplus(flight.connection)):
            self._replies.refuse(last, 503, f"service {last.service.name} is overloaded")
        if self._is_full(queue, size):
            self._replies.refuse(flight, 503, f"service {flight.service.name} is overloaded")
        elif flight.connection.queued_bytes + size > self._limits.client_bytes:
            self._replies.refuse(flight, 429, "this client has too many bytes waiting")
        elif wait := self.shedding.refuses(flight, now):
            self._replies.refuse_late(flight, wait)
        else:
            self._calls.queue(flight)

    def _is_full(self, queue: RequestQueue[Flight], size: int) -> bool:
        limits = self._limits
        return (
            queue.count >= limits.service_calls
            or queue.bytes + size > limits.service_bytes
            or self._calls.queued_bytes + size > limits.broker_bytes
        )

    def wait_again(self, flight: Flight) -> None:
        """Let a call wait, before all others, whose worker was lost."""
        flight.wanted = None
        flight.gathered.clear()
        self._calls.queue(flight, at_front=True)

    def next_for(self, worker: Worker, now: float) -> Flight | None:
        """Take the next call for ``worker`` that can still be answered in time."""
        while flight := self._take(worker):
            if not self.shedding.is_too_late(flight, now):
                return flight
            flight.service.is_overloaded = True
            self._replies.refuse_late(flight, 0.0)
            self._refuse_oldest(flight.queue, flight.connection, now)
        return None

    def _take(self, worker: Worker) -> Flight | None:
        if worker.queue.count:
            return self._calls.take(worker.queue)
        crew = worker.crew
        if crew is None:
            return None
        names = crew.services
        for step in range(len(names)):
            turn = (crew.turn + step) % len(names)
            service = self._services[names[turn]]
            if flight := self._calls.take(service.queue):
                crew.turn = (turn + 1) % len(names)  # next time the others are first
                return flight
            service.is_overloaded = False
        return None

    def _refuse_oldest(
        self, queue: RequestQueue[Flight], connection: Connection, now: float
    ) -> None:
        """Refuse the oldest calls of a connection that would be too late if they went last."""
        while line := queue.line(connection):
            oldest = line.oldest
            wait = self.shedding.wait(oldest, queue.before(connection))
            if not self.shedding.is_too_late(oldest, now, wait):
                return
            self._replies.refuse_late(oldest, wait)
