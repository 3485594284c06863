"""Services: their workers, their queue, and the roster of all of them."""

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

    What workers have announced ends with them. The name alone is remembered for a while,
    because calls may wait for the next worker; it does not count against the limit.

    Attributes:
      was_offered: a worker has offered it, or is expected to: calls wait for the next one.
      is_expected: the process that serves it starts workers for it by itself.
      is_suspended: there is no worker, and none will come soon.
      is_overloaded: calls were refused because they would have waited for too long, and the
        queue has not been empty since.
      deserted_at: when its last worker left; infinity while it has one.

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
        #: All its workers have announced a public route, or it is the broker's own: no hook has
        #: to know the caller.
        self.has_public_routes = is_mmi(name)
        self._is_public = False  # as expected, while there is no worker
        self._workers: dict[Worker, None] = {}
        self._crews: list[Crew] = []

    @property
    def workers(self) -> int:
        """How many workers offer it, busy ones included."""
        return len(self._workers)

    @property
    def takes_a_place(self) -> bool:
        """Whether it counts against the limit on services."""
        return bool(self._workers) or self.is_expected

    def expect(self, *, is_public: bool) -> None:
        """Note that this process starts workers for it, with public routes if ``is_public``."""
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
        """Take out a worker."""
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
        """Its workers, those together that offer the same."""
        return self._crews

    def pick(self, now: float) -> Worker | None:
        """Return the worker that should have the next call, or None if none has room."""
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
        """Return the worker that is likely to be the first to have nothing in hand."""
        staying = [worker for worker in self._workers if not worker.is_leaving]
        return min(staying, key=lambda worker: worker.busy, default=None)


@final
class Roster:
    """Services by name; those that no worker offers are remembered, for a while."""

    def __init__(self, limits: Limits) -> None:
        self.services: dict[str, Service] = {}
        #: How many workers there are.
        self.workers = 0
        self._limits = limits
        self._quiet_after = 1.5 * limits.heartbeat
        self._crews: dict[frozenset[str], Crew] = {}
        # Services whose last worker has left, in the order in which that was.
        self._deserted: deque[Service] = deque()

    def has_room_for(self, names: Collection[str]) -> bool:
        """Tell whether a worker may offer ``names``: of those that are offered now."""
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
        """Take a worker out of its services."""
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
        """When to call `tick`, at the latest."""
        if not self._deserted:
            return NEVER
        return self._deserted[0].deserted_at + self._limits.remembered

    def tick(self, now: float) -> None:
        """Forget services that were deserted long ago, or too many of them."""
        most = 2 * self._limits.services
        while self._deserted and (now >= self.next_tick or len(self.services) > most):
            service = self._deserted.popleft()
            if service.deserted_at == float("inf") or service.is_expected:
                continue  # there is a worker again
            if service.queue.count:
                service.deserted_at = now  # calls wait for it: remember it again
                self._deserted.append(service)
                return
            if self.services.get(service.name) is service:
                del self.services[service.name]
