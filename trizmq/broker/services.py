"""Services, with their workers and queues, and the roster of all services."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, final

from ..deadlines import NEVER
from ..name_rules import is_mmi
from .estimates import Estimates
from .queues import RequestQueue
from .workers import Crew

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..limits import Limits
    from .workers import Worker

__all__ = ["Roster", "Service"]


@final
class Service:
    """A name, the workers that offer it now, and the calls that wait for one.

    What a worker has announced is forgotten when it leaves. Only the name is remembered for a
    while, because calls may wait for the next worker; it does not count against the limit.

    Attributes:
      was_offered: whether a worker has offered it, or is expected to; if so, calls wait for one.
      is_expected: whether this process itself starts workers for it.
      is_suspended: whether it has no worker, and none is expected soon.
      is_overloaded: whether calls were refused because they would have waited for too long, and
        the queue has not been empty since.
      deserted_at: the time when its last worker left; infinity while it has one.

    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue: RequestQueue[Any] = RequestQueue()  # of `calls.Flight`
        self.estimates = Estimates()
        self.in_flight = 0
        self.was_offered = False
        self.is_expected = False
        self.is_suspended = False
        self.is_overloaded = False
        self.deserted_at = float("inf")
        #: Whether anyone may call some path of it: all its workers have announced a public route,
        #: or it is the broker's own service.
        self.has_public_routes = is_mmi(name)
        self._is_public = False  # the expected value, while there is no worker
        self._workers: dict[Worker, None] = {}
        self._crews: list[Crew] = []

    @property
    def workers(self) -> int:
        """The number of workers that offer it, including busy ones."""
        return len(self._workers)

    @property
    def takes_a_place(self) -> bool:
        """Whether it counts against the limit on services."""
        return bool(self._workers) or self.is_expected

    def expect(self, *, is_public: bool) -> None:
        """Expect workers that this process starts, with public routes if ``is_public``."""
        self.was_offered = self.is_expected = True
        self._is_public = is_public
        self._note_workers()

    def join(self, worker: Worker, crew: Crew) -> None:
        """Add a worker."""
        self.was_offered, self.is_suspended = True, False
        self.deserted_at = float("inf")
        self._workers[worker] = None
        if crew not in self._crews:
            self._crews.append(crew)
        self.estimates.note_routes(self.name, worker.routes)
        self._note_workers()

    def leave(self, worker: Worker, crew: Crew, now: float) -> None:
        """Remove a worker."""
        self._workers.pop(worker, None)
        if not crew.workers and crew in self._crews:
            self._crews.remove(crew)
        if not self._workers:
            self.deserted_at = now
        self._note_workers()

    def _note_workers(self) -> None:
        # If one of them does not check tokens itself, no call without a token may reach it.
        self.has_public_routes = (
            all(self.name in worker.public for worker in self._workers)
            if self._workers
            else self._is_public
        )

    @property
    def crews(self) -> list[Crew]:
        """Its workers, grouped by the services that they offer."""
        return self._crews

    def pick(self, now: float) -> Worker | None:
        """Return the worker for the next call; None if no worker has capacity."""
        crews = self._crews
        if len(crews) == 1:
            return crews[0].first(now)
        best: Worker | None = None
        for crew in crews:
            worker = crew.first(now)
            if worker is None:
                continue
            if best is None or (worker.is_quiet, worker.busy) < (best.is_quiet, best.busy):
                best = worker
        return best

    def least_busy(self) -> Worker | None:
        """Return the worker with the fewest calls, which is likely to be idle first."""
        staying = [worker for worker in self._workers if not worker.is_leaving]
        return min(staying, key=lambda worker: worker.busy, default=None)


@final
class Roster:
    """Services by name; those that no worker offers are remembered for a while."""

    def __init__(self, limits: Limits) -> None:
        self.services: dict[str, Service] = {}
        #: The number of workers.
        self.workers = 0
        self._limits = limits
        self._quiet_after = 1.5 * limits.heartbeat
        self._crews: dict[frozenset[str], Crew] = {}
        # Services whose last worker has left, in the order in which they lost it.
        self._deserted: deque[Service] = deque()

    def has_room_for(self, names: Collection[str]) -> bool:
        """Return whether the services would be within the limit if a worker offered ``names``."""
        known = self.services
        new = sum(name not in known or not known[name].takes_a_place for name in set(names))
        return new + sum(one.takes_a_place for one in known.values()) <= self._limits.services

    def join(self, worker: Worker) -> None:
        """Add a worker to its services."""
        self.workers += 1
        names = frozenset(worker.services)
        crew = self._crews.get(names)
        if crew is None:
            services = tuple(dict.fromkeys(worker.services))
            crew = self._crews[names] = Crew(services, quiet_after=self._quiet_after)
        crew.join(worker)
        for name in names:
            if name not in self.services:
                self.services[name] = Service(name)
            self.services[name].join(worker, crew)

    def leave(self, worker: Worker, now: float) -> None:
        """Remove a worker from its services."""
        crew = worker.crew
        if crew is None:
            return
        self.workers -= 1
        crew.leave(worker)
        if not crew.workers:
            del self._crews[frozenset(worker.services)]
        for name in crew.services:
            service = self.services[name]
            service.leave(worker, crew, now)
            if not service.workers and not service.is_expected:
                self._deserted.append(service)
        self.tick(now)

    @property
    def next_tick(self) -> float:
        """The latest time at which to call `tick`."""
        if not self._deserted:
            return NEVER
        return self._deserted[0].deserted_at + self._limits.remembered

    def tick(self, now: float) -> None:
        """Forget services without workers: those deserted long ago, and those over the limit."""
        most = 2 * self._limits.services
        while self._deserted and (now >= self.next_tick or len(self.services) > most):
            service = self._deserted.popleft()
            if service.deserted_at == float("inf") or service.is_expected:
                continue  # it has a worker again
            if service.queue.count:
                service.deserted_at = now  # calls wait for it: remember it for longer
                self._deserted.append(service)
                return
            if self.services.get(service.name) is service:
                del self.services[service.name]
