"""The calls that wait: let in or refused, and taken out when it is their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bounds import size_of
from .ledger import Ledger
from .roster import Roster
from .shedding import Shedding

if TYPE_CHECKING:
    from .clients import Clients
    from .counters import Counters
    from .limits import Limits
    from .outbox import Outbox
    from .queues import RequestQueue
    from .records import Connection, Flight, Worker

__all__ = ["Backlog"]


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
