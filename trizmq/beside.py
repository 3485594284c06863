"""Running a background task for the duration of a block."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from .app.failures import lone, without_cancelled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["running"]


@asynccontextmanager
async def running(start: Callable[..., Awaitable[Any]]) -> AsyncIterator[Any]:
    """Run ``start`` in a nursery next to the block, and cancel it when the block ends.

    Args:
      start: as for `trio.Nursery.start`: called with ``task_status``.

    Yields:
      The value that ``start`` passed to ``task_status.started``.

    Raises:
      The exception from the block, or from ``start`` if the block raised none, not in a group.

    """
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield await nursery.start(start)
            except BaseException as raised:
                error = raised
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The exception from the block takes precedence. But if the block was only cancelled,
        # that may be because ``start`` failed, and then that is the cause.
        if without_cancelled(error) is None:
            raise lone(group) from None
    if error is not None:
        raise error
