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
        self.task: Any = task
        self.status: Any = _status_of(task)

    @property
    def is_leaky(self) -> bool:
        """Whether a scope or a nursery is open that was not when this began."""
        return getattr(self.task, "_cancel_status", None) is not self.status

    @property
    def is_cancelled(self) -> bool:
        """Whether the scope, or one around it, is cancelled."""
        return bool(getattr(self.status, "effectively_cancelled", True))

    def leak(self) -> str:
        """Say what is open, in words."""
        what = "nursery" if self.task.child_nurseries else "cancel scope"
        return f"the handler left a {what} open"

    def close_leaks(self) -> None:
        """Close what is open, from the inside out; the tasks in it are cancelled."""
        while self.is_leaky:
            scope = _status_of(self.task)._scope
            for nursery in self.task.child_nurseries[-1:]:
                if nursery.cancel_scope is scope:
                    _hand_over(self.task, nursery)
            scope.__exit__(None, None, None)


def _hand_over(task: Any, nursery: Any) -> None:
    """Let a task of its own wind up ``nursery``, which ``task`` has opened and cannot close.

    Waiting for its children here would not do: Trio closes a generator that was left, in a
    task of its own, and when two wait for a nursery, that wakes one of them, twice.
    """
    nursery.cancel_scope.cancel()
    heir: Any = trio.lowlevel.spawn_system_task(_wind_up, nursery, name="close a nursery left open")
    task._child_nurseries.remove(nursery)
    heir._child_nurseries.append(nursery)
    nursery._parent_task = heir


async def _wind_up(nursery: Any) -> None:
    try:
        error = await nursery._nested_child_finished(None)
    except Exception as failure:  # the generator's end came first
        LOGGER.debug("a nursery left open was closed elsewhere", exc_info=failure)
    else:
        if error is not None:
            LOGGER.error("a nursery that a handler left open has failed", exc_info=error)
    for task in _tasks(trio.lowlevel.current_root_task()):
        if _waits_for(nursery, task):
            trio.lowlevel.reschedule(task)


def _waits_for(nursery: Any, task: Any) -> bool:
    """Tell whether ``task`` waits for the end of ``nursery``, which has come."""
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
