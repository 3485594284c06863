"""Workers that are kept free: for suspect calls, and for other workers' share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..bounds import UNBOUNDED
from ..deadlines import NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .calls import Calls, Flight
    from .services import Service
    from .workers import Worker

__all__ = ["MAX_DEATHS", "Newcomers", "Suspects"]

#: A call that has lost so many workers is given to no other.
MAX_DEATHS: Final = 2

#: Seconds until a suspect is given to a worker that still has other calls in hand.
PATIENCE: Final = 1.0


@final
class Suspects:
    """Sees to it that each suspect is given to a worker that has nothing else in hand.

    So the call that ends its workers takes no other with it, except for those that its first
    worker had. Workers that are empty are given suspects first. If all have calls in hand, one
    of them is *reserved*: it is given nothing more until it is empty; but not for long, for
    what it has may be calls that last. Of the workers of a service half are reserved at most.
    """

    def __init__(self, services: Mapping[str, Service], calls: Calls) -> None:
        self._services = services
        self._calls = calls
        # Workers that are reserved, for which service, and when that has been long enough.
        self._reserved: dict[Worker, tuple[Service, float]] = {}

    def take(self, worker: Worker) -> Flight | None:
        """Return a suspect that an empty ``worker`` should have now; it is reserved for that."""
        if worker.crew is None or worker.busy:
            return None
        for name in worker.crew.services:
            service = self._services[name]
            if service.queue.has_suspects and self._may_reserve(service):
                self._reserve(worker, service, float("inf"))
                return self._calls.take_suspect(service.queue)
        return None

    def seek(self, service: Service, now: float) -> None:
        """Reserve a worker if suspects of ``service`` wait, and none is reserved for them."""
        if service.queue.has_suspects and self._may_reserve(service):
            worker = service.least_busy()
            if worker is not None and worker not in self._reserved:
                self._reserve(worker, service, now + PATIENCE)

    def _may_reserve(self, service: Service) -> bool:
        taken = sum(one is service for one, _ in self._reserved.values())
        return taken < max(1, service.workers // 2)

    def _reserve(self, worker: Worker, service: Service, until: float) -> None:
        self._reserved[worker] = service, until
        worker.is_reserved = True
        if worker.crew is not None:
            worker.crew.note(worker)

    def free(self, worker: Worker) -> Service | None:
        """Give ``worker`` back to all; return the service for which it was reserved."""
        found = self._reserved.pop(worker, None)
        worker.is_reserved = False
        if worker.crew is not None:
            worker.crew.note(worker)
        return None if found is None else found[0]

    @property
    def next_tick(self) -> float:
        """When to call `overdue` again, at the latest."""
        if not self._reserved:  # nearly always
            return NEVER
        return min(until for _, until in self._reserved.values())

    def overdue(self, now: float) -> list[tuple[Worker, Flight | None]]:
        """Return workers that did not become empty in time, each with the suspect to be given."""
        found: list[tuple[Worker, Flight | None]] = []
        for worker, (service, until) in list(self._reserved.items()):
            if until > now:
                continue
            if service.queue.has_suspects and worker.busy < worker.capacity:
                self._reserved[worker] = service, float("inf")
                found.append((worker, self._calls.take_suspect(service.queue)))
            else:
                found.append((worker, None))
        return found


#: Calls that a newcomer is given at once; twice as many after each interval in seconds.
FIRST: Final = 8
INTERVAL: Final = 0.05


@final
class Newcomers:
    """Lets a newcomer's share of the queue grow, so that those that come next have theirs.

    Processes that were started together say hello one after another. Were the first given all
    that it can take, it would sit on calls that the others could do.
    """

    def __init__(self) -> None:
        self._workers: dict[Worker, None] = {}
        self.next_tick = float("inf")

    def add(self, worker: Worker, now: float) -> None:
        """Bound what ``worker`` may have."""
        if worker.capacity > FIRST:
            worker.window = FIRST
            self._workers[worker] = None
            self.next_tick = min(self.next_tick, now + INTERVAL)

    def discard(self, worker: Worker) -> None:
        """Let ``worker`` have all that it can take, or forget it."""
        if self._workers.pop(worker, None) is None and worker.window >= worker.capacity:
            return
        worker.window = UNBOUNDED
        if not self._workers:
            self.next_tick = float("inf")

    def tick(self, now: float) -> list[Worker]:
        """Let time pass; return those that may have more now."""
        if now < self.next_tick:
            return []
        grown = list(self._workers)
        for worker in grown:
            worker.window *= 2
            if worker.window >= worker.capacity:
                del self._workers[worker]
                worker.window = UNBOUNDED
        self.next_tick = now + INTERVAL if self._workers else float("inf")
        return grown
