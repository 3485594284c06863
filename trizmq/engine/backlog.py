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
    from .records import Flight, Worker

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
        limits, queue, size = self._limits, flight.queue, size_of(flight)
        if (
            queue.count >= limits.service_calls
            or queue.bytes + size > limits.service_bytes
            or self.queued_bytes + size > limits.broker_bytes
        ):
            self.refuse(flight, 503, f"service {flight.service.name} is overloaded")
        elif flight.peer.connection.queued_bytes + size > limits.client_bytes:
            self.refuse(flight, 429, "this client has too many bytes waiting")
        elif wait := self._shedding.refuses(flight, self.now):
            self.refuse_late(flight, wait)
        else:
            flight.size = size
            flight.is_queued = True
            self.queued_bytes += size
            queue.push(flight)

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
            self._shedding.turn_round(flight)
            self.refuse_late(flight, 0.0)
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
            flight = service.queue.pop()
            if flight is None:
                continue
            crew.services = names[turn:] + names[:turn]  # next time the others are first
            if service.is_overloaded:
                self._refuse_oldest(flight)
                service.is_overloaded = bool(service.queue.count)
            return flight
        return None

    def _refuse_oldest(self, flight: Flight) -> None:
        """Where the newest calls go first, refuse the oldest that cannot be answered in time."""
        connection = flight.peer.connection
        line = flight.queue.line(connection)
        while line is not None and line.newest_first and line.count:
            oldest = line.oldest
            wait = self._shedding.wait(oldest, flight.queue.before(connection))
            if not self._shedding.is_too_late(oldest, self.now, wait):
                return
            self.refuse_late(oldest, wait)
