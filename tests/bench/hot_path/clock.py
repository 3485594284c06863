"""Timers: the CPU time of this thread for calls in a loop that costs next to nothing."""

from __future__ import annotations

import gc
from collections import defaultdict
from contextlib import contextmanager
from time import thread_time
from typing import TYPE_CHECKING, TypeAlias, TypeVar, final

import trio

from .turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

__all__ = ["Clock", "Costs", "least", "without_collector"]

T = TypeVar("T")

#: Microseconds per call, by the name of the measurement.
Costs: TypeAlias = dict[str, float]


@final
class Clock:
    """Adds up measurements by name, and the number of calls in each."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._calls: defaultdict[str, int] = defaultdict(int)

    def run(self, name: str, turns: Iterable[T], *, calls: int | None = None) -> list[T]:
        """Iterate over ``turns``, which do the work; each is a call, or all are for ``calls``.

        Create them with `map` or similar, whose loop is in C.
        """
        began = thread_time()
        results = list(turns)
        self.note(name, thread_time() - began, calls or len(results))
        return results

    async def wait(self, name: str, turns: Iterable[Awaitable[T]]) -> list[T]:
        """Await each of ``turns``, which are created one at a time."""
        began = thread_time()
        results = [await turn for turn in turns]
        self.note(name, thread_time() - began, len(results))
        return results

    async def whole(self, go: Callable[[], Awaitable[object]], passes: int, at_once: int) -> None:
        """Time everything, with garbage collections; then count how often Trio schedules tasks.

        The names contain ``at_once``, the number of calls in each pass.
        """
        collections, turns, calls = _Collections(), Turns(), passes * at_once
        gc.callbacks.append(collections)
        began = thread_time()
        await go()
        self.note(f"whole of {at_once}", thread_time() - began, calls)
        gc.callbacks.remove(collections)
        self.note(f"gc of {at_once}", collections.seconds, calls)
        trio.lowlevel.add_instrument(turns)  # costs time, so the second run is separate
        await go()
        trio.lowlevel.remove_instrument(turns)
        self.note(f"steps of {at_once}", turns.steps / 1e6, calls)
        self.note(f"passes of {at_once}", turns.passes / 1e6, calls)

    def note(self, name: str, seconds: float, calls: int) -> None:
        """Add a measurement."""
        self._seconds[name] += seconds
        self._calls[name] += calls

    def costs(self) -> Costs:
        """Return the cost per call by name, or for ``steps`` and ``passes`` the count per call."""
        return {name: self._seconds[name] / calls * 1e6 for name, calls in self._calls.items()}


@final
class _Collections:
    """Adds up the time of the garbage collector."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __call__(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began = thread_time()
        else:
            self.seconds += thread_time() - self._began


@contextmanager
def without_collector() -> Iterator[None]:
    """Collect garbage before and after the block, not in it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def least(rounds: Iterable[Costs]) -> Costs:
    """Return the minimum of each figure: other work on the machine can only add to it."""
    found: Costs = {}
    for costs in rounds:
        for name, cost in costs.items():
            found[name] = min(cost, found.get(name, cost))
    return found
