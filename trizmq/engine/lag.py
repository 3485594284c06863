"""How long a message lay in buffers before it was read."""

from __future__ import annotations

from typing import Final, final

__all__ = ["Lag"]

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
