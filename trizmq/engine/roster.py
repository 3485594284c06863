"""Which services there are, and which workers offer them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, final

from .crews import Crew
from .services import Service

if TYPE_CHECKING:
    from collections.abc import Collection

    from .limits import Limits
    from .records import Worker

__all__ = ["Roster"]


@final
class Roster:
    """Services by name; those that no worker offers are remembered, for a while."""

    def __init__(self, limits: Limits) -> None:
        self.services: dict[str, Service] = {}
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
            return float("inf")
        return self._deserted[0].deserted_at + self._limits.remembered

    def tick(self, now: float) -> None:
        """Forget services that were deserted long ago, or too many of them."""
        most = 2 * self._limits.services
        while self._deserted and (now >= self.next_tick or len(self.services) > most):
            service = self._deserted.popleft()
            if service.deserted_at == float("inf") or service.is_expected:
                continue  # there is a worker again
            if service.queue.count:
                service.deserted_at = now  # somebody waits for it: remember it anew
                self._deserted.append(service)
                return
            if self.services.get(service.name) is service:
                del self.services[service.name]
