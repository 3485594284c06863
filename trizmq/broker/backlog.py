"""The calls that wait: let in or refused, and taken out when it is their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..bounds import size_of
from .shedding import Shedding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..limits import Limits
    from .calls import Calls, Flight
    from .queues import Connection, RequestQueue
    from .replies import Replies
    from .services import Service
    from .workers import Worker

__all__ = ["Backlog"]


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
