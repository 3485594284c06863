"""Absent clients: their connection has ended, and they may come back."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from ..deadlines import NEVER
from ..wire.items import Head, Part, Response, frames_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..wire.items import Item
    from .clients import NativePeer

__all__ = ["MAX_REMEMBERED", "PATIENCE", "Absence"]

#: Seconds for which the calls of an absent client continue.
PATIENCE: Final = 2.0

#: The number of bytes that an item counts in addition to its body.
OVERHEAD: Final = 512

#: The maximum number of abandoned clients whose key and highest call id are remembered.
MAX_REMEMBERED: Final = 1024


@final
class Absence:
    """Keeps the items for absent clients, at most ``max_bytes`` for all of them.

    A client that does not come back in time is abandoned, with its calls. The highest id of the
    calls that the broker read is kept, so that the client can learn later which were not read.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        # In the order of their expiry.
        self._until: dict[NativePeer, float] = {}
        self._kept: dict[NativePeer, list[Item]] = {}
        self._seen: OrderedDict[str, int] = OrderedDict()

    def begin(self, peer: NativePeer, now: float) -> None:
        """Record that the connection of ``peer`` has ended."""
        if peer not in self._until:
            self._until[peer] = now + PATIENCE
            self._kept[peer] = []

    def keep(self, peer: NativePeer, items: Iterable[Item]) -> None:
        """Keep heads, parts and ends that could not be sent; those over the limit are lost."""
        for item in items:
            if isinstance(item, Head | Part | Response):
                size = _size_of(item)
                if self._bytes + size <= self._max_bytes:
                    self._bytes += size
                    self._kept[peer].append(item)

    def end(self, peer: NativePeer) -> list[Item]:
        """Forget ``peer``, which is back or was abandoned; return the items kept for it."""
        self._until.pop(peer, None)
        kept = self._kept.pop(peer, [])
        self._bytes -= sum(map(_size_of, kept))
        return kept

    def remember(self, peer: NativePeer) -> None:
        """Remember the highest id of the calls that were read from ``peer``, now abandoned."""
        if peer.key:
            self._seen[peer.key] = peer.seen
            if len(self._seen) > MAX_REMEMBERED:
                self._seen.popitem(last=False)

    def recall(self, key: str) -> int | None:
        """Return the highest call id that was read from an abandoned client, and forget it."""
        return self._seen.pop(key, None)

    @property
    def next_tick(self) -> float:
        """The latest time at which to call `due` again."""
        return next(iter(self._until.values())) if self._until else NEVER

    def due(self, now: float) -> list[NativePeer]:
        """Return the clients that have been absent for too long."""
        return [peer for peer, until in self._until.items() if until <= now]


def _size_of(item: Item) -> int:
    return OVERHEAD + sum(map(len, frames_of(item.body)))
