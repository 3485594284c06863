"""Services: which workers offer them, and the calls that wait."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .records import Flight, Peer, Worker

__all__ = ["RequestQueue", "Service"]


class RequestQueue:
    """Calls that wait for a worker: fair to clients, first in first out for each.

    One client with a thousand calls delays another's single call by one call, not by a
    thousand (RFC 7: the broker SHOULD be fair).
    """

    def __init__(self) -> None:
        # Ordered dicts, because a call can leave from anywhere in its line, and at once:
        # were it only marked, a client that calls and cancels could fill the memory.
        self._lines: OrderedDict[Peer, OrderedDict[Flight, None]] = OrderedDict()
        self.count = 0
        self.bytes = 0

    def push(self, flight: Flight) -> None:
        """Put ``flight`` at the end of its client's line."""
        self._lines.setdefault(flight.peer, OrderedDict())[flight] = None
        self._count(flight, 1)

    def push_front(self, flight: Flight) -> None:
        """Put ``flight`` before all others: it has waited its turn once already."""
        line = self._lines.setdefault(flight.peer, OrderedDict())
        line[flight] = None
        line.move_to_end(flight, last=False)
        self._lines.move_to_end(flight.peer, last=False)
        self._count(flight, 1)

    def pop(self) -> Flight | None:
        """Take the first call of the client whose turn it is, or None."""
        if not self._lines:
            return None
        peer = next(iter(self._lines))
        self._lines.move_to_end(peer)
        flight = next(iter(self._lines[peer]))
        self.leave(flight)
        return flight

    def leave(self, flight: Flight) -> None:
        """Take out a call that was pushed: it is dispatched, or has ended."""
        line = self._lines[flight.peer]
        del line[flight]
        if not line:
            del self._lines[flight.peer]
        self._count(flight, -1)

    def flights(self) -> list[Flight]:
        """Return all that waits."""
        return [flight for line in self._lines.values() for flight in line]

    def _count(self, flight: Flight, sign: int) -> None:
        self.count += sign
        self.bytes += sign * flight.size
        flight.peer.queued_bytes += sign * flight.size


class Service:
    """A name, the workers that have announced it, and the calls that wait for one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue = RequestQueue()
        self.in_flight = 0
        #: Some worker has offered it once: its callers wait for the next one.
        self.was_offered = False
        #: No worker is there, and none will come soon.
        self.is_suspended = False
        #: Some worker has said that some route of it is public.
        self.has_public_routes = False
        self._workers: dict[Worker, None] = {}
        # Who has room, the least recently used first. Kept apart, so that picking one does
        # not walk over all that are busy.
        self._free: OrderedDict[Worker, None] = OrderedDict()

    @property
    def workers(self) -> int:
        """How many workers offer it, busy ones included."""
        return len(self._workers)

    def join(self, worker: Worker) -> None:
        """Add a worker."""
        self.was_offered, self.is_suspended = True, False
        self._workers[worker] = None
        self.has_public_routes |= self.name in worker.public
        self.note_room(worker)

    def leave(self, worker: Worker) -> None:
        """Take out a worker."""
        self._workers.pop(worker, None)
        self._free.pop(worker, None)

    def note_room(self, worker: Worker) -> None:
        """Be told that ``worker``'s having room may have changed."""
        if not worker.has_room:
            self._free.pop(worker, None)
        elif worker in self._workers:
            self._free[worker] = None

    def pick(self) -> Worker | None:
        """Return the least recently used worker that has room, or None."""
        for worker in self._free:
            self._free.move_to_end(worker)
            return worker
        return None
