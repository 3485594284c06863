"""A worker's place in the tree of cancel scopes, and what a handler has left open there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, final

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Post"]

LOGGER = logging.getLogger("trizmq.app")


@final
class Post:
    """A task that runs handlers, and the cancel scope in which it does.

    A handler that leaves a scope or a nursery open, for example by breaking out of a loop
    over a generator that yields inside of one, leaves it to whoever uses the task next: its
    deadline, its cancellation, its failing children. What is open is seen by which
    cancel status the task has; Trio has no public name for that.
    """

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope) -> None:
        self.scope = scope
        self._task: Any = task
        self._status: Any = _status_of(task)

    @property
    def is_leaky(self) -> bool:
        """Whether a scope or a nursery is open that was not when this began."""
        return getattr(self._task, "_cancel_status", None) is not self._status

    @property
    def is_cancelled(self) -> bool:
        """Whether the scope, or one around it, is cancelled."""
        return bool(getattr(self._status, "effectively_cancelled", True))

    def leak(self) -> str:
        """Say what is open, in words."""
        what = "nursery" if self._task.child_nurseries else "cancel scope"
        return f"the handler left a {what} open"

    async def close_leaks(self) -> None:
        """Close what is open, from the inside out, and end the tasks in it."""
        closed = []
        while self.is_leaky:
            scope = _status_of(self._task)._scope
            for nursery in self._task.child_nurseries[-1:]:
                if nursery.cancel_scope is scope:
                    await _end(nursery)
                    closed.append(nursery)
            scope.__exit__(None, None, None)
        for nursery in closed:
            _wake_who_waits_for(nursery)


async def _end(nursery: Any) -> None:
    """Do what the end of ``async with`` does, ahead of time."""
    nursery.cancel_scope.cancel()
    error = await nursery._nested_child_finished(None)
    if error is not None:
        LOGGER.error("a nursery that a handler left open has failed", exc_info=error)


def _wake_who_waits_for(nursery: Any) -> None:
    # Trio closes a generator that nobody uses any more, in a task of its own. There the
    # nursery's ``async with`` ends as well, and waits for its children; but when they have
    # ended, only the task that opened the nursery is woken.
    for task in _tasks(trio.lowlevel.current_root_task()):
        if any(frame.f_locals.get("self") is nursery for frame, _ in task.iter_await_frames()):
            trio.lowlevel.reschedule(task)


def _tasks(task: trio.lowlevel.Task | None) -> Iterator[trio.lowlevel.Task]:
    if task is not None:
        yield task
        for nursery in task.child_nurseries:
            for child in nursery.child_tasks:
                yield from _tasks(child)


def _status_of(task: Any) -> Any:
    return getattr(task, "_cancel_status", None)
