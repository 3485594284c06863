"""Waking up when the engine next wants to be told the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ticker"]


class _Timed(Protocol):
    @property
    def next_tick(self) -> float: ...

    def tick(self, now: float) -> None: ...


@final
class Ticker:
    """Calls ``engine.tick``, then ``after``, whenever ``engine.next_tick`` has come."""

    def __init__(self, engine: _Timed, after: Callable[[], None]) -> None:
        self._engine = engine
        self._after = after
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
            self._engine.tick(trio.current_time())
            self._after()
