"""Waking up when the engine next wants to be told the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from .faults import Faults

__all__ = ["Ticker"]

#: Seconds until the next tick after one that failed.
FAULT_PAUSE: Final = 0.1


class _Timed(Protocol):
    @property
    def next_tick(self) -> float: ...

    def tick(self, now: float) -> None: ...


@final
class Ticker:
    """Calls ``engine.tick``, then ``after``, whenever ``engine.next_tick`` has come."""

    def __init__(
        self, engine: _Timed, after: Callable[[], None], faults: Faults | None = None
    ) -> None:
        self._engine = engine
        self._after = after
        self._faults = faults
        self._nap = trio.CancelScope()
        self._due = float("inf")  # the nap's deadline: to ask a scope for it costs more

    def reconsider(self) -> None:
        """Look whether the engine wants to be woken earlier than it did. Cheap if not."""
        self.note(self._engine.next_tick)

    def note(self, deadline: float) -> None:
        """Be told of a new deadline in the engine. Cheaper than `reconsider`."""
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
                await trio.sleep(FAULT_PAUSE)  # it may be due still
