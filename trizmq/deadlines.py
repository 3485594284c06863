"""What is due when, and how long a message lay in buffers before it was read."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Deadlines", "Lag"]


class _Ends(Protocol):
    ended: bool


T = TypeVar("T", bound=_Ends)


#: A heap of so few is not worth sweeping.
SMALL: Final = 64


@final
class Deadlines(Generic[T]):
    """What is due when.

    Nearly every call ends long before its deadline; taking it out of the middle of a heap
    would cost more than the call. So it stays, marked as ended, and is passed over when its
    time comes, or swept out when more than half of the heap is such: a constant cost a
    call, and a heap of at most twice the calls in flight.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._order = count()  # two calls of one deadline: never compare the calls
        self._live = 0

    def add(self, deadline: float, item: T) -> None:
        """Note that ``item`` is due at ``deadline``."""
        heappush(self._heap, (deadline, next(self._order), item))
        self._live += 1

    def forget(self) -> None:
        """Be told that one item that was added has ended (and is marked so)."""
        self._live -= 1
        if len(self._heap) > 2 * self._live + SMALL:
            self._heap = [entry for entry in self._heap if not entry[2].ended]
            heapify(self._heap)

    @property
    def next(self) -> float:
        """When to ask `due` again, at the latest; infinity if nothing is noted."""
        return self._heap[0][0] if self._heap else float("inf")

    def due(self, now: float) -> Iterator[T]:
        """Take out, in their order, the items that have not ended and are due.

        Each is still counted until it is said to have ended, by `forget`.
        """
        while self._heap and self._heap[0][0] <= now:
            item = heappop(self._heap)[2]
            if not item.ended:
                yield item


#: Clocks of two machines run apart by so much at most, seconds in each second.
DRIFT: Final = 1e-4


#: Less is not looked at: a sender rounds, and a network is not always as fast.
NOTICED: Final = 0.05


@final
class Lag:
    """Of one peer, whose calls say when they were sent, in milliseconds of its own clock.

    What is between its clock and ours is not known; but the call that was the quickest was
    hardly on its way at all, and what took longer than that one has lain somewhere: in the
    socket of a process that stood still, say. That time is the caller's, too.
    """

    def __init__(self) -> None:
        self._least = float("inf")
        self._seen_at = 0.0

    def of(self, sent: int, now: float) -> float:
        """Return for how many seconds a call was on its way that is read now.

        One that was sent at 0 is the first, or its sender has no such clock.
        """
        if not sent:
            if self._seen_at == 0.0:
                self._least = self._seen_at = now
            return 0.0
        distance = now - sent / 1000
        known = self._least + DRIFT * (now - self._seen_at)
        self._least, self._seen_at = min(distance, known), now
        lag = distance - self._least
        return lag if lag > NOTICED else 0.0
