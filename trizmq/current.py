"""The call that the current task handles, which limits the calls that its handler makes."""

from __future__ import annotations

from math import inf
from typing import Any, Final, Protocol

import trio

__all__ = ["POSTS", "current_deadline", "current_item"]


class _Post(Protocol):
    item: Any  # None while the task waits for one


#: The tasks of all pools, and the item that each is processing.
POSTS: Final[dict[trio.lowlevel.Task, _Post]] = {}


def current_item() -> Any:
    """Return the item that the current task, or one of its parents, is processing, or None.

    It is found through the tree of nurseries, like cancellation: a task that a handler starts
    in a nursery outside of itself outlives the item and does not belong to it. Unlike a
    context variable, which would have to be set for every item, it costs nothing until it is
    needed.
    """
    if not POSTS:
        return None
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
    while task is not None:
        post = POSTS.get(task)
        if post is not None and post.item is not None:
            return post.item
        nursery = task.parent_nursery
        task = nursery.parent_task if nursery is not None else None
    return None


def current_deadline() -> float:
    """Return the deadline of the call that the current task handles; infinity if there is none."""
    item = current_item()
    if item is None:
        return inf
    deadline: float = item.deadline
    return deadline
