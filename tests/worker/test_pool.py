"""The guarantees of the pool: order, overlap, isolation, cancellation, prompt results."""

from __future__ import annotations

from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trizmq.current import POSTS, current_deadline, current_item
from trizmq.worker.pool import FLUSH_EVERY, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handle = Callable[[int], Awaitable[object]]

LEFT_BEHIND: ContextVar[int] = ContextVar("LEFT_BEHIND", default=0)


class Desk:
    """Handles items, and records each flush with the results so far."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.batches: list[list[int]] = []

    def flush(self) -> None:
        flushed = sum(map(len, self.batches))
        self.batches.append(self.done[flushed:])

    @property
    def flushed(self) -> list[int]:
        return [item for batch in self.batches for item in batch]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def start(
    nursery: trio.Nursery, handle: Handle, size: int, desk: Desk | None = None
) -> WorkerPool[int]:
    pool: WorkerPool[int] = WorkerPool(handle, size=size, flush=(desk or Desk()).flush)
    await nursery.start(pool.run)
    await wait_all_tasks_blocked()
    return pool


async def test_fast_items_run_in_order_within_one_pass(nursery: trio.Nursery, desk: Desk) -> None:
    passes_before_the_end = 0

    async def handle(item: int) -> None:
        desk.done.append(item)

    async def watch() -> None:
        nonlocal passes_before_the_end
        while len(desk.done) < 1000:
            await trio.lowlevel.checkpoint()
            passes_before_the_end += 1

    pool = await start(nursery, handle, 4, desk)
    pool.put(range(1000))
    await watch()
    assert desk.done == list(range(1000))
    assert passes_before_the_end <= 2  # ours may come before the worker's in the first one
    nursery.cancel_scope.cancel()


async def test_items_start_in_the_order_they_came(nursery: trio.Nursery) -> None:
    started: list[int] = []

    async def handle(item: int) -> None:
        started.append(item)
        for _ in range(item % 4):
            await trio.lowlevel.checkpoint()

    pool = await start(nursery, handle, 3)
    for first in range(0, 100, 10):
        pool.put(range(first, first + 10))
        await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked()
    assert started == list(range(100))
    nursery.cancel_scope.cancel()


async def test_a_waiting_handler_does_not_delay_others(nursery: trio.Nursery) -> None:
    gate, done = trio.Event(), list[int]()

    async def handle(item: int) -> None:
        if item % 3 == 0:
            await gate.wait()
        done.append(item)

    pool = await start(nursery, handle, 5)
    pool.put(range(12))
    await wait_all_tasks_blocked()
    assert sorted(done) == [item for item in range(12) if item % 3]
    gate.set()
    await wait_all_tasks_blocked()
    assert sorted(done) == list(range(12))
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_never_more_at_once_than_size_and_no_fewer(nursery: trio.Nursery, size: int) -> None:
    now = most = 0
    gate = trio.Event()

    async def handle(_: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await gate.wait()
        await trio.lowlevel.checkpoint()
        now -= 1

    pool = await start(nursery, handle, size)
    pool.put(range(50))
    await wait_all_tasks_blocked()
    assert now == size
    gate.set()
    await wait_all_tasks_blocked()
    assert (most, now) == (size, 0)
    nursery.cancel_scope.cancel()


async def test_an_exception_ends_the_pool() -> None:
    async def handle(_: int) -> None:
        raise RuntimeError("a bug")

    with pytest.RaisesGroup(pytest.RaisesGroup(RuntimeError)):
        async with trio.open_nursery() as nursery:
            pool = await start(nursery, handle, 2)
            pool.put([1])


# -- cancellation ----------------------------------------------------------------------


async def test_cancel_reaches_one_item_and_the_pool_keeps_its_size(nursery: trio.Nursery) -> None:
    cancelled: list[int] = []

    async def handle(item: int) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(item)
            raise

    pool = await start(nursery, handle, 3)
    for first in range(0, 30, 3):
        pool.put(range(first, first + 3))
        await wait_all_tasks_blocked()
        assert pool.cancel(first + 1)
        await wait_all_tasks_blocked()
        assert cancelled == [first + 1]
        assert pool.cancel(first)
        assert pool.cancel(first + 2)
        await wait_all_tasks_blocked()
        assert not pool.cancel(first)
        cancelled.clear()
    nursery.cancel_scope.cancel()


async def test_waiting_items_are_not_cancelled_by_the_pool(nursery: trio.Nursery) -> None:
    gate, done = trio.Event(), list[int]()

    async def handle(item: int) -> None:
        await gate.wait()
        done.append(item)

    pool = await start(nursery, handle, 1)
    pool.put([1, 2])
    await wait_all_tasks_blocked()
    assert not pool.cancel(2)
    gate.set()
    await wait_all_tasks_blocked()
    assert done == [1, 2]
    nursery.cancel_scope.cancel()


async def test_cancel_does_not_reach_the_workers_next_item(nursery: trio.Nursery) -> None:
    # The handler never waits again after its item was cancelled, so the scope stays pending.
    pool: WorkerPool[int]
    done: list[int] = []

    async def handle(item: int) -> None:
        if item == 0:
            assert pool.cancel(item)
        else:
            await trio.lowlevel.checkpoint()
        done.append(item)

    pool = await start(nursery, handle, 1)
    pool.put(range(4))
    await wait_all_tasks_blocked()
    assert done == [0, 1, 2, 3]
    nursery.cancel_scope.cancel()


async def test_results_of_a_cancelled_handler_are_flushed(
    nursery: trio.Nursery, desk: Desk
) -> None:
    async def handle(item: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            desk.done.append(item)

    pool = await start(nursery, handle, 2, desk)
    pool.put([1])
    await wait_all_tasks_blocked()
    pool.cancel(1)
    await wait_all_tasks_blocked()
    assert desk.flushed == [1]
    nursery.cancel_scope.cancel()


async def test_cancelling_the_pool_cancels_its_handlers() -> None:
    started, cancelled = list[int](), list[int]()

    async def handle(item: int) -> None:
        started.append(item)
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(item)

    async with trio.open_nursery() as nursery:
        pool = await start(nursery, handle, 2)
        pool.put(range(5))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert sorted(started) == sorted(cancelled) == [0, 1]
    assert current_item() is None


async def test_work_that_comes_while_the_pool_is_cancelled_is_not_started() -> None:
    handled: list[int] = []

    async def handle(item: int) -> None:
        handled.append(item)

    async with trio.open_nursery() as nursery:
        pool = await start(nursery, handle, 3)
        nursery.cancel_scope.cancel()
        pool.put([1])  # its workers have been cancelled, and have not run since
    assert handled == []


# -- isolation -------------------------------------------------------------------------


@pytest.mark.parametrize("waits", ["never", "before", "after"])
async def test_no_item_sees_the_context_of_another(nursery: trio.Nursery, waits: str) -> None:
    seen: list[int] = []

    async def handle(item: int) -> None:
        if waits == "before":
            await trio.lowlevel.checkpoint()
        seen.append(LEFT_BEHIND.get())
        LEFT_BEHIND.set(item)
        if waits == "after":
            await trio.lowlevel.checkpoint()
            assert LEFT_BEHIND.get() == item

    LEFT_BEHIND.set(-1)  # a value set before the pool was started is visible to all
    pool = await start(nursery, handle, 2)
    pool.put(range(1, 21))
    await wait_all_tasks_blocked()
    assert seen == [-1] * 20
    nursery.cancel_scope.cancel()


async def test_a_cancelled_item_leaves_no_context_behind(nursery: trio.Nursery) -> None:
    seen: list[int] = []

    async def handle(item: int) -> None:
        seen.append(LEFT_BEHIND.get())
        LEFT_BEHIND.set(item)
        await trio.sleep_forever()

    pool = await start(nursery, handle, 1)
    for item in (1, 2, 3):
        pool.put([item])
        await wait_all_tasks_blocked()
        assert pool.cancel(item)
        await wait_all_tasks_blocked()
    assert seen == [0, 0, 0]
    nursery.cancel_scope.cancel()


async def test_scopes_and_nurseries_of_a_handler_are_its_own(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    done: list[str] = []

    async def handle(item: int) -> None:
        with trio.move_on_after(item):
            await trio.sleep_forever()
        async with trio.open_nursery() as own:
            own.start_soon(trio.lowlevel.checkpoint)
        done.append(f"{item} {trio.current_effective_deadline()}")

    pool = await start(nursery, handle, 2)
    pool.put(range(4))
    await trio.sleep(10)
    assert sorted(done) == [f"{item} inf" for item in range(4)]
    nursery.cancel_scope.cancel()


# -- results ---------------------------------------------------------------------------


async def test_one_flush_for_a_batch(nursery: trio.Nursery, desk: Desk) -> None:
    async def handle(item: int) -> None:
        desk.done.append(item)

    pool = await start(nursery, handle, 4, desk)
    for first in (0, 10, 20):
        pool.put(range(first, first + 10))
        await wait_all_tasks_blocked()
    assert desk.batches == [list(range(first, first + 10)) for first in (0, 10, 20)]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [1, 2, 9])
async def test_at_most_sixteen_results_wait_while_more_items_are_ready(
    nursery: trio.Nursery, desk: Desk, size: int
) -> None:
    async def handle(item: int) -> None:
        desk.done.append(item)

    pool = await start(nursery, handle, size, desk)
    pool.put(range(100))
    await wait_all_tasks_blocked()
    assert desk.flushed == list(range(100))
    assert max(map(len, desk.batches)) == (FLUSH_EVERY if size > 1 else 1)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [1, 2, 3, 16])
@pytest.mark.parametrize("stuck", [[5], [5, 6], [0, 5], [9], [8, 9], range(5, 30)])
async def test_a_handler_that_waits_holds_back_no_results(
    nursery: trio.Nursery, desk: Desk, size: int, stuck: list[int]
) -> None:
    async def handle(item: int) -> None:
        if item in stuck:
            await trio.sleep_forever()
        desk.done.append(item)

    pool = await start(nursery, handle, size, desk)
    pool.put(range(10))
    await wait_all_tasks_blocked()
    assert desk.flushed == desk.done
    # While a worker is left, all ready items are handled.
    waiting = len([item for item in stuck if item < 10])
    if waiting < size:
        assert sorted(desk.done) == [item for item in range(10) if item not in stuck]
    else:
        assert desk.done == [item for item in range(list(stuck)[size - 1]) if item not in stuck]
    nursery.cancel_scope.cancel()


async def test_results_of_every_pattern_of_waits_are_flushed(
    nursery: trio.Nursery, desk: Desk
) -> None:
    async def handle(item: int) -> None:
        for _ in range(item * 7919 % 5):
            await trio.lowlevel.checkpoint()
        if item * 31 % 11 == 0:
            LEFT_BEHIND.set(item)  # a retiring worker leaves its results to its successor
        desk.done.append(item)

    pool = await start(nursery, handle, 4, desk)
    for first in range(0, 600, 20):
        pool.put(range(first, first + 20))
        for _ in range(first % 3):
            await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked()
    assert sorted(desk.done) == list(range(600))
    assert desk.flushed == desk.done
    nursery.cancel_scope.cancel()


async def test_items_put_during_a_flush_are_handled(nursery: trio.Nursery) -> None:
    # The broker dispatches waiting calls when it learns that there is room.
    done: list[int] = []

    async def handle(item: int) -> None:
        done.append(item)

    def flush() -> None:
        if done[-1] < 5:
            pool.put([done[-1] + 1])

    pool: WorkerPool[int] = WorkerPool(handle, size=1, flush=flush)
    await nursery.start(pool.run)
    pool.put([0])
    await wait_all_tasks_blocked()
    assert done == [0, 1, 2, 3, 4, 5]
    nursery.cancel_scope.cancel()


# -- the current item ------------------------------------------------------------------


async def test_current_item(nursery: trio.Nursery) -> None:
    seen: dict[str, Any] = {}
    gate = trio.Event()

    async def look(name: str) -> None:
        await trio.lowlevel.checkpoint()
        seen[name] = current_item()

    async def handle(item: int) -> None:
        seen["handler"] = current_item()
        async with trio.open_nursery() as own:
            own.start_soon(look, "child")
            async with trio.open_nursery() as nested:
                nested.start_soon(look, "grandchild")
        nursery.start_soon(look, "in another's nursery")
        await look("handler again")
        await gate.wait()

    pool = await start(nursery, handle, 2)
    pool.put([7])
    await wait_all_tasks_blocked()
    await look("outside")
    gate.set()
    await wait_all_tasks_blocked()
    assert seen == {
        "handler": 7,
        "child": 7,
        "grandchild": 7,
        "handler again": 7,
        "in another's nursery": None,
        "outside": None,
    }
    nursery.cancel_scope.cancel()


async def test_each_handler_has_its_own_current_item(nursery: trio.Nursery) -> None:
    seen: list[tuple[int, Any]] = []

    async def handle(item: int) -> None:
        await trio.lowlevel.checkpoint()
        seen.append((item, current_item()))

    pool = await start(nursery, handle, 3)
    pool.put(range(10))
    await wait_all_tasks_blocked()
    assert sorted(seen) == [(item, item) for item in range(10)]
    assert current_item() is None
    nursery.cancel_scope.cancel()


async def test_of_nested_pools_the_inner_one_counts(nursery: trio.Nursery) -> None:
    seen: list[Any] = []
    inner_is_done, outer_is_done = trio.Event(), trio.Event()

    async def inner(item: int) -> None:
        seen.append(current_item())
        inner_is_done.set()

    async def outer(item: int) -> None:
        async with trio.open_nursery() as own:
            pool: WorkerPool[int] = WorkerPool(inner, size=2)
            await own.start(pool.run)
            pool.put([item + 1])
            await inner_is_done.wait()
            own.cancel_scope.cancel()
        seen.append(current_item())
        outer_is_done.set()

    pool = await start(nursery, outer, 2)
    pool.put([1])
    await outer_is_done.wait()
    assert seen == [2, 1]
    nursery.cancel_scope.cancel()


class Call:
    """An item of a pool that has a deadline."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline


async def test_the_current_deadline_is_that_of_the_current_item(nursery: trio.Nursery) -> None:
    seen: list[float] = []

    async def handle(item: Any) -> None:
        seen.append(current_deadline())

    pool: Any = await start(nursery, handle, 1)
    pool.put([Call(7.0), Call(9.0)])
    await wait_all_tasks_blocked()
    assert seen == [7.0, 9.0]
    assert current_deadline() == inf
    nursery.cancel_scope.cancel()


async def test_no_current_item_is_kept(nursery: trio.Nursery) -> None:
    async def handle(item: int) -> None:
        if item % 2:
            LEFT_BEHIND.set(item)
        await trio.lowlevel.checkpoint()

    pool = await start(nursery, handle, 4)
    pool.put(range(20))
    await wait_all_tasks_blocked()
    assert not POSTS
    nursery.cancel_scope.cancel()
