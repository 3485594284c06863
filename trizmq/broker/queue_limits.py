"""The limits of queues: which calls may wait, and which are refused if too many wait."""

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


#: The maximum fraction of a call's remaining time that it may wait in the queue: usually, and
#: while the service is overloaded. The second is lower, because estimates may be wrong.
USUALLY: Final = 0.9

OVERLOADED: Final = 0.25

#: One refusal in this many is skipped, so that an estimate that has become wrong recovers.
SPARED: Final = 50

#: MDP has no deadlines. If the calls of an MDP connection would wait for more seconds than this,
#: the newest is served first, because its caller may still wait. With callers that wait for 0.3 s
#: and a load of 1.2 times the capacity, a value of 1.0 spent a third of the capacity on callers
#: that had gone: the queue needs five seconds to become that long.
PATIENCE: Final = 0.25

#: One in `MEASURED` of the calls that did not wait is measured, and each that comes `UNMEASURED`
#: seconds after the last. (A prime, so that calls of two routes in turn are both measured.)
MEASURED: Final = 31

UNMEASURED: Final = 0.01


@final
class Shedding:
    """Refuses calls that would be late, by their deadlines and the estimates of their service.

    Theory of operation. Overload is harmless if the broker refuses the calls that could not be
    served in time. Then the workers serve only callers that still wait, and a refused caller
    knows immediately that it should try elsewhere. So:

    1. A call that has to wait is refused if the calls before it need more time than it has.
       From then until its queue has been empty, the service is *overloaded*, and a call may
       spend only a quarter of its time in the queue. Estimates are sometimes wrong, and if the
       queue is as long as the deadline, each error means a call that is served in vain.
    2. The next call is refused if it has less time left than its route usually needs: the wait
       was longer than estimated. The oldest calls of its connection that would be too late if
       they were served last are refused, too. So the newest calls that can still be in time are
       next, and the calls do not miss their deadlines one after another.
    3. MDP has no deadlines. If the calls of a connection would wait for more than `PATIENCE`,
       the newest goes first, until none of them waits.

    A call for which a worker is free is never refused here. As long as there is no estimate, as
    for the first calls of a service, no call is refused. Streams are not measured, and
    wait like calls that take no time.
    """

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._spared = 0
        self._unmeasured = 0
        self._measured_at = 0.0

    def note_start(self, flight: Flight, now: float) -> None:
        """Record that a worker gets a call, and decide whether it is measured."""
        flight.given_at = now
        self._unmeasured += 1
        if flight.window == 0 and (
            flight.size
            or self._unmeasured >= MEASURED
            or now - self._measured_at >= UNMEASURED
            or not flight.service.estimates.whole.is_known
        ):
            self._unmeasured, self._measured_at = 0, now
            flight.is_measured = True

    def note_end(self, flight: Flight, now: float, *, was_stopped: bool) -> None:
        """Record that a worker has finished a call."""
        if flight.is_measured:
            seconds = max(0.0, now - flight.given_at)
            flight.service.estimates.add(flight, seconds, was_stopped=was_stopped)

    def wait(self, flight: Flight, before: int) -> float:
        """Return the estimated wait of a call in seconds; 0 if it is not known."""
        service = flight.service
        usual = service.estimates.whole
        if not (usual.is_known and before):
            return 0.0
        capacity = 0
        for crew in service.crews:
            capacity += crew.capacity
            for name in crew.services:  # their calls take turns with these
                if name != service.name:
                    before += min(before, self._services[name].queue.count)
        return before * usual.seconds / capacity if capacity else 0.0

    def refuses(self, flight: Flight, now: float) -> float:
        """Return 0 if a call may wait, else the seconds after which it should be retried."""
        service, connection = flight.service, flight.connection
        if flight.wanted is not None:
            return 0.0
        wait = self.wait(flight, service.queue.before(connection))
        if not wait:
            return 0.0
        spare = flight.deadline - now - self._usual(flight)
        if wait > spare * (OVERLOADED if service.is_overloaded else USUALLY):
            service.is_overloaded |= spare > 0.0  # else the route is slow, and the queue not long
            return 0.0 if self._spares() else wait
        if wait > PATIENCE and flight.peer.pipelines:
            line = service.queue.line(connection)
            if line is not None:
                line.newest_first = True
        return 0.0

    def is_too_late(self, flight: Flight, now: float, wait: float = 0.0) -> bool:
        """Return whether a call would end too late if a worker got it in ``wait`` seconds."""
        usual = self._usual(flight)
        return bool(usual) and flight.deadline - now - wait < usual and not self._spares()

    def _usual(self, flight: Flight) -> float:
        # A stream is useful before it ends: its caller chooses how long it reads.
        return 0.0 if flight.window else flight.service.estimates.usual(flight)

    def _spares(self) -> bool:
        self._spared += 1
        if self._spared < SPARED:
            return False
        self._spared = 0
        return True


@final
class Backlog:
    """Adds calls to the queues of services and removes them, within limits and deadlines."""

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
        """Put a call whose worker was lost at the front of its queue."""
        flight.wanted = None
        flight.gathered.clear()
        self._calls.queue(flight, at_front=True)

    def next_for(self, worker: Worker, now: float) -> Flight | None:
        """Remove and return the next call for ``worker`` that can still end in time."""
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
                crew.turn = (turn + 1) % len(names)  # next time, start with the others
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
