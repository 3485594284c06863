"""How long calls took: counted in buckets, so that a long run keeps no more than a short one."""

from __future__ import annotations

from collections import Counter
from math import ceil, floor, log2
from typing import Final, NamedTuple, final

__all__ = ["Bar", "Histogram"]

#: Buckets to each doubling: a quantile is off by at most 9 %.
FINENESS: Final = 8


class Bar(NamedTuple):
    """So many calls took at least ``low`` and less than ``high`` seconds."""

    low: float
    high: float
    calls: int


@final
class Histogram:
    """Counts durations in buckets whose bounds are fixed: powers of two of a microsecond."""

    def __init__(self) -> None:
        self.count = 0
        self.most = 0.0
        self._buckets: Counter[int] = Counter()

    def note(self, seconds: float) -> None:
        """Count one; what is shorter than a microsecond counts as one."""
        self.count += 1
        self.most = max(self.most, seconds)
        self._buckets[floor(log2(max(seconds * 1e6, 1)) * FINENESS)] += 1

    def quantile(self, share: float) -> float:
        """Return what ``share`` of all did not exceed; 0 if there are none."""
        left = ceil(self.count * share)
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return min(_bound((bucket + 1) / FINENESS), self.most)
        return 0.0

    def bars(self) -> list[Bar]:
        """Return one bar to each doubling, from the shortest to the longest."""
        doublings: Counter[int] = Counter()
        for bucket, count in self._buckets.items():
            doublings[bucket // FINENESS] += count
        span = range(min(doublings, default=0), max(doublings, default=-1) + 1)
        return [Bar(_bound(number), _bound(number + 1), doublings[number]) for number in span]


def _bound(doublings: float) -> float:
    return float(2**doublings * 1e-6)
