"""When a child that has died may be started again: at once, or later and later."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, final

__all__ = ["BURST", "FIRST_PAUSE", "LONGEST_PAUSE", "SETTLED", "WINDOW", "RestartPolicy"]

#: So many deaths within so many seconds are no accident any more.
BURST: Final = 5
WINDOW: Final = 60.0

#: A child that served for so many seconds died of an accident: it does not count.
SETTLED: Final = 1.0

#: Then there is a pause, in seconds, each twice the last.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0


@final
class RestartPolicy:
    """Told of each death, it says from when on children may be started.

    A pause is over for good once nothing has died for a whole `WINDOW`.

    Attributes:
      not_before: on the clock of the ``now`` that is passed.

    """

    def __init__(self) -> None:
        self.not_before = -math.inf
        self._pause = 0.0
        self._deaths: deque[float] = deque(maxlen=BURST)

    def note_death(self, now: float, *, served: float = 0.0) -> None:
        """Take note; `not_before` may be later then.

        ``served``: for how many seconds the child did what it is for. Pauses are for
        children that cannot live, not for those that somebody kills.
        """
        if served >= SETTLED:
            return
        if self._deaths and now - self._deaths[-1] >= WINDOW:
            self._pause = 0.0
        self._deaths.append(now)
        # Those that die together, or in the pause, count as one: nothing was tried between.
        if now >= self.not_before and (self._pause or self._is_burst(now)):
            self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
            self.not_before = now + self._pause

    def _is_burst(self, now: float) -> bool:
        return len(self._deaths) == BURST and now - self._deaths[0] <= WINDOW
