"""The ticker wakes exactly when the engine is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio.testing import wait_all_tasks_blocked

from trizmq.ticker import Ticker

if TYPE_CHECKING:
    from trio.testing import MockClock

NEVER = float("inf")
AT_ONCE = float("-inf")


class Engine:
    """An engine that is due at each of the given times."""

    def __init__(self, *times: float) -> None:
        self.times = list(times)
        self.ticks: list[float] = []
        self.acts = 0

    @property
    def next_tick(self) -> float:
        return min(self.times, default=NEVER)

    def tick(self, now: float) -> None:
        self.ticks.append(now)
        self.times = [time for time in self.times if time > now]

    def act(self) -> None:
        assert self.ticks
        self.acts += 1


async def run(nursery: trio.Nursery, engine: Engine) -> Ticker:
    ticker = Ticker(engine, engine.act)
    nursery.start_soon(ticker.run)
    await wait_all_tasks_blocked()
    return ticker


async def test_it_ticks_when_the_time_has_come(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    engine = Engine(1.0, 2.5, 2.5, 7.0)
    await run(nursery, engine)
    await trio.sleep(100)
    assert engine.ticks == [1.0, 2.5, 7.0]
    assert engine.acts == 3
    nursery.cancel_scope.cancel()


async def test_an_earlier_time_is_noticed_by_reconsidering(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    engine = Engine(10.0)
    ticker = await run(nursery, engine)
    engine.times += [3.0]
    ticker.reconsider()
    mock_clock.jump(2.9)
    await wait_all_tasks_blocked()
    assert engine.ticks == []
    mock_clock.jump(0.1)
    await wait_all_tasks_blocked()
    assert engine.ticks == [3.0]
    mock_clock.jump(7.0)
    await wait_all_tasks_blocked()
    assert engine.ticks == [3.0, 10.0]
    nursery.cancel_scope.cancel()


async def test_at_once_is_at_once(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    engine = Engine()
    ticker = await run(nursery, engine)
    for _ in range(3):
        engine.times += [AT_ONCE]
        ticker.reconsider()
        ticker.reconsider()
        await wait_all_tasks_blocked()
    assert engine.ticks == [0.0, 0.0, 0.0]
    nursery.cancel_scope.cancel()


async def test_a_later_time_needs_no_word(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    engine = Engine(1.0)
    ticker = await run(nursery, engine)
    engine.times = [5.0]
    ticker.reconsider()
    mock_clock.jump(1.0)
    await wait_all_tasks_blocked()
    assert engine.times == [5.0]  # one unnecessary wake-up
    mock_clock.jump(4.0)
    await wait_all_tasks_blocked()
    assert engine.ticks == [1.0, 5.0]
    nursery.cancel_scope.cancel()


async def test_reconsidering_before_it_runs_is_harmless(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    engine = Engine(1.0)
    ticker = Ticker(engine, engine.act)
    ticker.reconsider()
    nursery.start_soon(ticker.run)
    await trio.sleep(2)
    assert engine.ticks == [1.0]
    nursery.cancel_scope.cancel()
