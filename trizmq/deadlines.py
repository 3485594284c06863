"""Deadlines, and the time that messages spent in buffers before they were read."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NEVER", "Deadlines", "Lag"]

NEVER: Final = float("inf")


class _Ends(Protocol):
    ended: bool


T = TypeVar("T", bound=_Ends)

#: The heap is not swept below this size.
SMALL: Final = 64

_push: Final = heappush  # a name in this module, which compiled code finds faster


@final
class Deadlines(Generic[T]):
    """A heap of items by deadline.

    Nearly every call ends long before its deadline, and removing it from the middle of a heap
    would cost more than the call. It therefore stays, marked as ended, and is skipped at its
    time, or removed when more than half of the entries have ended. The cost per call is
    constant, and the heap has at most twice as many entries as there are calls in flight.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._order = 0  # breaks ties between equal deadlines: calls are never compared
        self._live = 0

    def add(self, deadline: float, item: T) -> None:
        """Add ``item``, due at ``deadline``."""
        self._order += 1
        _push(self._heap, (deadline, self._order, item))
        self._live += 1

    def forget(self) -> None:
        """Record that one of the items has ended, and is marked accordingly."""
        self._live -= 1
        if len(self._heap) > 2 * self._live + SMALL:
            self._heap = [entry for entry in self._heap if not entry[2].ended]
            heapify(self._heap)

    @property
    def next(self) -> float:
        """The time at which to call `due` next; infinity if there are no items."""
        return self._heap[0][0] if self._heap else NEVER

    def due(self, now: float) -> Iterator[T]:
        """Remove and yield the items that are due and have not ended, in order.

        Each item counts until `forget` is called for it.
        """
        while self._heap and self._heap[0][0] <= now:
            item = heappop(self._heap)[2]
            if not item.ended:
                yield item


#: The maximum drift between the clocks of two machines, in seconds per second.
DRIFT: Final = 1e-4

#: Shorter delays are ignored: senders round their times, and networks vary.
NOTICED: Final = 0.05


@final
class Lag:
    """The delays of messages from one peer that sends the times of its own clock.

    The offset between that clock and ours is unknown. But the fastest message was hardly
    delayed at all, and any message that took longer has been waiting somewhere, for example in
    the socket of a process that was suspended. That time counts for the caller too.
    """

    def __init__(self) -> None:
        self._least = float("inf")
        self._seen_at = 0.0

    def of(self, sent: int, now: float) -> float:
        """Return the delay in seconds of a message that is read now.

        ``sent`` is 0 for the first message, or if the sender has no such clock.
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
