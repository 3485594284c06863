"""Clients that are away: their connection has ended, and they may come back."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from ..deadlines import NEVER
from ..wire.items import Part, Response, frames_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..wire.items import Item
    from .clients import NativePeer

__all__ = ["MAX_REMEMBERED", "PATIENCE", "Absence"]

#: How long the calls of a client go on that is away, in seconds.
PATIENCE: Final = 2.0

#: What an item costs beside its body.
OVERHEAD: Final = 512

#: As many keys of clients that were given up are kept, with what was seen of their calls.
MAX_REMEMBERED: Final = 1024


@final
class Absence:
    """Keeps what is sent to clients that are away, within ``max_bytes`` for all of them.

    A client that has not come back in time is given up, and its calls with it. What stays is
    which of them were looked at, so that it can learn later which were not.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        # In the order in which they are given up.
        self._until: dict[NativePeer, float] = {}
        self._kept: dict[NativePeer, list[Item]] = {}
        self._seen: OrderedDict[str, int] = OrderedDict()

    def begin(self, peer: NativePeer, now: float) -> None:
        """Note that the connection of ``peer`` has ended."""
        if peer not in self._until:
            self._until[peer] = now + PATIENCE
            self._kept[peer] = []

    def keep(self, peer: NativePeer, items: Iterable[Item]) -> None:
        """Keep what could not be sent, if there is room; else its calls count as lost."""
        for item in items:
            if isinstance(item, Response | Part):
                size = _size_of(item)
                if self._bytes + size <= self._max_bytes:
                    self._bytes += size
                    self._kept[peer].append(item)

    def end(self, peer: NativePeer) -> list[Item]:
        """Note that ``peer`` is back, or was given up; return what was kept for it."""
        self._until.pop(peer, None)
        kept = self._kept.pop(peer, [])
        self._bytes -= sum(map(_size_of, kept))
        return kept

    def remember(self, peer: NativePeer) -> None:
        """Keep in mind which calls of ``peer``, which is given up, were looked at."""
        if peer.key:
            self._seen[peer.key] = peer.seen
            if len(self._seen) > MAX_REMEMBERED:
                self._seen.popitem(last=False)

    def recall(self, key: str) -> int | None:
        """Return the highest id that was seen of a client that was given up."""
        return self._seen.pop(key, None)

    @property
    def next_tick(self) -> float:
        """When to ask `due` again, at the latest."""
        return next(iter(self._until.values())) if self._until else NEVER

    def due(self, now: float) -> list[NativePeer]:
        """Return those that have been away for too long."""
        return [peer for peer, until in self._until.items() if until <= now]


def _size_of(item: Item) -> int:
    return OVERHEAD + sum(map(len, frames_of(item.body)))
