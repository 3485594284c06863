"""Workers that have come while many calls waited: others may be about to come."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from .records import Worker

__all__ = ["Newcomers"]

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
        worker.window = sys.maxsize
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
                worker.window = sys.maxsize
        self.next_tick = now + INTERVAL if self._workers else float("inf")
        return grown
