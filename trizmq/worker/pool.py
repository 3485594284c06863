"""The tasks that run handlers, and detection of scopes that a handler has left open."""

from __future__ import annotations

import logging
from collections import deque
from contextvars import Context, copy_context
from operator import is_
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

import trio

from ..current import POSTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator

__all__ = ["Post", "WorkerPool"]

T = TypeVar("T", bound="Hashable")

#: Flush results after this many items even if more are ready: it fills one message. Without a
#: limit, this side and the other wait for each other in turn (25 % slower).
FLUSH_EVERY: Final = 32

#: A name in this module, which compiled code finds faster than a lookup for each item.
_copy_context: Final = copy_context


@final
class WorkerPool(Generic[T]):
    """``size`` tasks that call ``handle`` with the items from `put`, in order.

    ``handle`` must not raise: errors in a call become responses at a higher level. An exception
    from it is a bug, and ends the pool. ``flush`` is called synchronously when results are
    waiting to be sent, and there is no reason to wait longer.
    """

    # Theory of operation. Starting a Trio task costs about 10 us, passing an item through a memory
    # channel 16 us, and a handler that never waits under 1 us. The tasks are therefore started
    # once, and *one* of them takes all items that are ready, one after another, without involving
    # the scheduler; then it flushes all their results at once.
    #
    # If its handler waited, the other items would wait with it, and so would results that have not
    # been flushed. Hence the rule: before a worker starts an item while more remain, or while
    # results wait, a successor must be awake. The successor runs as soon as the worker waits, and
    # has a successor itself. It is woken once for a whole batch, not once for each item. If no
    # successor is left, the results are flushed first.
    #
    # A cancel scope for each item would cost more than the item (7 to 11 us), and so would a
    # context for each item. Therefore each worker has a single scope and a single context. If its
    # scope was cancelled, or a handler has changed its context or left a scope open, the worker
    # retires and a new one takes its place, so only such handlers pay the cost.

    def __init__(
        self,
        handle: Callable[[T], Awaitable[object]],
        *,
        size: int,
        flush: Callable[[], object] = lambda: None,
    ) -> None:
        self._handle = handle
        self._flush = flush
        self._size = size
        self._ready: deque[T] = deque()
        self._idle: list[trio.lowlevel.Task] = []
        self._woken = 0  # workers that were rescheduled and have not run yet
        self._unflushed = 0  # items handled since the last flush
        self._running: dict[T, Post] = {}
        self._cancelled: set[trio.CancelScope] = set()  # of workers that must retire
        self._clean = copy_context()
        self._has_lookalikes = False

    def put(self, items: Iterable[T]) -> None:
        """Queue ``items``. Never blocks; the caller limits their number."""
        self._ready.extend(items)
        self._wake_successor()

    def cancel(self, item: T) -> bool:
        """Cancel ``item`` if it is running. The caller must remove an item that only waits."""
        post = self._running.get(item)
        if post is not None:
            self._cancelled.add(post.scope)
            post.scope.cancel()
        return post is not None

    def leak_of(self, item: T) -> str:
        """Describe what the running handler of ``item`` has left open; empty if nothing."""
        post = self._running[item]
        is_leaky = getattr(post.task, "_cancel_status", None) is not post.status  # in line, too
        return post.leak() if is_leaky else ""

    def is_cancelled(self, item: T) -> bool:
        """Return whether the running ``item`` was cancelled, by `cancel` or with the pool."""
        return self._running[item].is_cancelled

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the workers until cancelled."""
        self._note_clean()
        async with trio.open_nursery() as nursery:
            for _ in range(self._size):
                nursery.start_soon(self._career, nursery)
            task_status.started()

    def _note_clean(self) -> None:
        self._clean = copy_context()
        equals: Any = [type(value).__eq__ for value in self._clean.values()]
        self._has_lookalikes = any(one is not object.__eq__ for one in equals)

    def _is_clean(self) -> bool:
        """Return whether each value in the current task's context is the original one."""
        try:
            if _copy_context() != self._clean:  # fast, because the two share their data
                return False
        except Exception:  # two different values that cannot be compared, such as arrays
            return False
        # Values that compare equal may still be different objects.
        return not self._has_lookalikes or _are_same(copy_context(), self._clean)

    async def _career(self, nursery: trio.Nursery) -> None:
        task = trio.lowlevel.current_task()
        with trio.CancelScope() as scope:
            post = Post(task, scope)
            POSTS[task] = post
            try:
                await self._work(task, post)
            finally:
                POSTS.pop(task, None)
                self._cancelled.discard(scope)
                if post.is_leaky:
                    post.close_leaks()
        # A task inherits the context it is started from, and ours may have been changed.
        self._clean.run(nursery.start_soon, self._career, nursery)

    async def _work(self, task: trio.lowlevel.Task, post: Post) -> None:
        cancelled, ready, scope, status = self._cancelled, self._ready, post.scope, post.status
        # `scope.cancel_called` reads the clock each time.
        while not (cancelled and scope in cancelled):
            if not ready:
                post.item = None
                POSTS.pop(task, None)  # lets `current_item` return at once while no handler runs
                await self._rest(task)
                POSTS[task] = post
                continue
            item = ready.popleft()
            if ready or self._unflushed:
                self._prepare_to_wait()
            self._running[item] = post
            post.item = item
            try:
                await self._handle(item)
            finally:
                del self._running[item]
                self._unflushed += 1
            if getattr(task, "_cancel_status", None) is not status:  # `post.is_leaky`, in line
                return
            if not self._is_clean():
                return

    def _prepare_to_wait(self) -> None:
        self._wake_successor()
        if self._unflushed and (self._unflushed >= FLUSH_EVERY or not self._woken):
            self._flush_now()

    def _flush_now(self) -> None:
        self._unflushed = 0
        self._flush()

    async def _rest(self, task: trio.lowlevel.Task) -> None:
        if self._unflushed:
            self._flush_now()
            if self._ready:
                return

        def abort(_: object) -> trio.lowlevel.Abort:
            self._idle.remove(task)  # now, because it must not be woken any more
            return trio.lowlevel.Abort.SUCCEEDED

        self._idle.append(task)
        await trio.lowlevel.wait_task_rescheduled(abort)
        self._woken -= 1

    def _wake_successor(self) -> None:
        if self._idle and not self._woken:
            self._woken += 1
            trio.lowlevel.reschedule(self._idle.pop())


def _are_same(one: Context, other: Context) -> bool:
    """Return whether the same variables have identical values."""
    return all(map(is_, one, other)) and all(map(is_, one.values(), other.values()))


LOGGER = logging.getLogger("trizmq.app")


@final
class Post:
    """A task that runs handlers, with the cancel scope that surrounds them.

    If a handler leaves a scope or a nursery open, for example by breaking out of a loop over a
    generator that yields inside one, it would affect the next handler in the task: with its
    deadline, its cancellation, its failing children. An open scope is detected by the task's
    cancel status; Trio has no public name for that.
    """

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope) -> None:
        self.scope = scope
        #: The current item of the task; None while it rests.
        self.item: Any = None
        self.task: Any = task
        self.status: Any = _status_of(task)

    @property
    def is_leaky(self) -> bool:
        """Whether a scope or a nursery is open that was not open at the beginning."""
        return getattr(self.task, "_cancel_status", None) is not self.status

    @property
    def is_cancelled(self) -> bool:
        """Whether the scope, or one around it, is cancelled."""
        return bool(getattr(self.status, "effectively_cancelled", True))

    def leak(self) -> str:
        """Describe what is open."""
        what = "nursery" if self.task.child_nurseries else "cancel scope"
        return f"the handler left a {what} open"

    def close_leaks(self) -> None:
        """Close everything that is open, from the inside out, and cancel the tasks in it."""
        while self.is_leaky:
            scope = _status_of(self.task)._scope
            for nursery in self.task.child_nurseries[-1:]:
                if nursery.cancel_scope is scope:
                    _hand_over(self.task, nursery)
            scope.__exit__(None, None, None)


def _hand_over(task: Any, nursery: Any) -> None:
    """Let a separate task close ``nursery``, which ``task`` has opened and cannot close.

    Waiting for its children here would not work: Trio closes an abandoned generator in a separate
    task, and if two tasks wait for a nursery, one of them is woken twice.
    """
    nursery.cancel_scope.cancel()
    heir: Any = trio.lowlevel.spawn_system_task(_wind_up, nursery, name="close a nursery left open")
    task._child_nurseries.remove(nursery)
    heir._child_nurseries.append(nursery)
    nursery._parent_task = heir


async def _wind_up(nursery: Any) -> None:
    try:
        error = await nursery._nested_child_finished(None)
    except Exception as failure:  # the generator ended first
        LOGGER.debug("a nursery left open was closed elsewhere", exc_info=failure)
    else:
        if error is not None:
            LOGGER.error("a nursery that a handler left open has failed", exc_info=error)
    for task in _tasks(trio.lowlevel.current_root_task()):
        if _waits_for(nursery, task):
            trio.lowlevel.reschedule(task)


def _waits_for(nursery: Any, task: Any) -> bool:
    """Return whether ``task`` is waiting for the end of ``nursery``, which has ended."""
    if task._next_send_fn is not None:  # it is about to run anyway
        return False
    return any(
        frame.f_code.co_name == "_nested_child_finished" and frame.f_locals["self"] is nursery
        for frame, _ in task.iter_await_frames()
    )


def _tasks(task: trio.lowlevel.Task | None) -> Iterator[trio.lowlevel.Task]:
    if task is not None:
        yield task
        for nursery in task.child_nurseries:
            for child in nursery.child_tasks:
                yield from _tasks(child)


def _status_of(task: Any) -> Any:
    return getattr(task, "_cancel_status", None)
