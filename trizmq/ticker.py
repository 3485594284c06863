"""The task that wakes an engine when it is due, and a log of unexpected exceptions."""

from __future__ import annotations

from traceback import extract_tb
from typing import TYPE_CHECKING, Final, Protocol, final

import trio

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

__all__ = ["Faults", "Ticker"]

#: Seconds to wait after a tick that failed.
FAULT_PAUSE: Final = 0.1


class _Timed(Protocol):
    @property
    def next_tick(self) -> float: ...

    def tick(self, now: float) -> None: ...


@final
class Ticker:
    """Calls ``engine.tick`` and then ``after`` at each time given by ``engine.next_tick``."""

    def __init__(
        self, engine: _Timed, after: Callable[[], None], faults: Faults | None = None
    ) -> None:
        self._engine = engine
        self._after = after
        self._faults = faults
        self._nap = trio.CancelScope()
        self._due = float("inf")  # the nap's deadline; reading it from the scope is slower

    def reconsider(self) -> None:
        """Wake earlier if the engine's next tick is earlier. Cheap if it is not."""
        self.note(self._engine.next_tick)

    def note(self, deadline: float) -> None:
        """Wake at ``deadline`` if that is earlier. Cheaper than `reconsider`."""
        if deadline < self._due:
            self._due = self._nap.deadline = deadline

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            self._due = self._engine.next_tick
            self._nap = trio.CancelScope(deadline=self._due)
            with self._nap:
                await trio.sleep_forever()
            try:
                self._engine.tick(trio.current_time())
                self._after()
            except Exception as error:
                if self._faults is None:
                    raise
                self._faults.note(error, "letting time pass")
                await trio.sleep(FAULT_PAUSE)  # the engine may still be due


#: The number of places to distinguish. A program has few; further ones are only counted.
MAX_PLACES: Final = 100


@final
class Faults:
    """A safeguard for loops: an unexpected exception must not end them.

    The first exception at a place is logged with its traceback; further ones are counted.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.count = 0
        self._logger = logger
        self._places: set[str] = set()

    def note(self, error: Exception, doing: str) -> None:
        """Count ``error``, and log it if it is the first of its kind at its place."""
        self.count += 1
        place = f"{type(error).__name__} at {_place(error)}"
        if place not in self._places and len(self._places) < MAX_PLACES:
            self._places.add(place)
            self._logger.error(
                "a fault while %s: %s; please report it. This place is logged once.",
                doing,
                place,
                exc_info=error,
            )


def _place(error: Exception) -> str:
    frames = extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
