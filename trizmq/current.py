"""The call whose handler runs in this task: the calls that it makes in turn end with it."""

from __future__ import annotations

from typing import Any, Final

import trio

__all__ = ["ITEMS", "current_item"]

#: The item that each worker of any pool is at.
ITEMS: Final[dict[trio.lowlevel.Task, Any]] = {}


def current_item() -> Any:
    """Return the item whose handler runs the current task, or a child of it; else None.

    Found by the tree of nurseries, as cancellation is: a task that a handler started in
    somebody else's nursery outlives the item, and is no part of it. It costs nothing until
    it is asked for, unlike a context variable, which every item would have to set.
    """
    if not ITEMS:
        return None
    task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
    while task is not None:
        if task in ITEMS:
            return ITEMS[task]
        nursery = task.parent_nursery
        task = nursery.parent_task if nursery is not None else None
    return None
