"""Reservations: workers that are kept free for suspects, and the limits of new workers."""

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

#: The number of lost workers after which a call is not dispatched again.
MAX_DEATHS: Final = 2

#: Seconds after which a suspect is given to a worker that still has other calls.
PATIENCE: Final = 1.0


@final
class Suspects:
    """Ensures that each suspect is given to a worker that has no other call.

    So a call that kills its workers affects no other calls, except those that its first worker
    had. Idle workers get suspects first. If all workers have calls, one of them is *reserved*: it
    gets no more calls until it is idle, but not for long, because its calls may take long. At
    most half of the workers of a service are reserved.
    """

    def __init__(self, services: Mapping[str, Service], calls: Calls) -> None:
        self._services = services
        self._calls = calls
        # The reserved workers, with the service, and the time when the reservation ends.
        self._reserved: dict[Worker, tuple[Service, float]] = {}

    def take(self, worker: Worker) -> Flight | None:
        """Reserve an idle ``worker`` for a suspect, and return the suspect; else return None."""
        if worker.crew is None or worker.busy:
            return None
        for name in worker.crew.services:
            service = self._services[name]
            if service.queue.has_suspects and self._may_reserve(service):
                self._reserve(worker, service, float("inf"))
                return self._calls.take_suspect(service.queue)
        return None

    def seek(self, service: Service, now: float) -> None:
        """Reserve a worker if suspects of ``service`` wait, and not too many are reserved."""
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
        """End the reservation of ``worker``; return the service for which it was reserved."""
        found = self._reserved.pop(worker, None)
        worker.is_reserved = False
        if worker.crew is not None:
            worker.crew.note(worker)
        return None if found is None else found[0]

    @property
    def next_tick(self) -> float:
        """The latest time at which to call `overdue` again."""
        if not self._reserved:  # the usual case
            return NEVER
        return min(until for _, until in self._reserved.values())

    def overdue(self, now: float) -> list[tuple[Worker, Flight | None]]:
        """Return workers that did not become idle in time, with the suspect for each, if any."""
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


#: The number of calls that a new worker gets at once; it doubles every `INTERVAL` seconds.
FIRST: Final = 8
INTERVAL: Final = 0.05


@final
class Newcomers:
    """Limits the calls of a new worker at first, so that the workers after it get some, too.

    Processes that were started together send their hellos one after another. If the first got
    calls up to its capacity, it would hold calls that the others could serve.
    """

    def __init__(self) -> None:
        self._workers: dict[Worker, None] = {}
        self.next_tick = float("inf")

    def add(self, worker: Worker, now: float) -> None:
        """Limit the number of calls that ``worker`` may have."""
        if worker.capacity > FIRST:
            worker.window = FIRST
            self._workers[worker] = None
            self.next_tick = min(self.next_tick, now + INTERVAL)

    def discard(self, worker: Worker) -> None:
        """End the limit of ``worker``, because no calls wait or it has gone."""
        if self._workers.pop(worker, None) is None and worker.window >= worker.capacity:
            return
        worker.window = UNBOUNDED
        if not self._workers:
            self.next_tick = float("inf")

    def tick(self, now: float) -> list[Worker]:
        """Double the limits that are due; return the workers that may have more calls now."""
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
