"""Running something in the background for as long as a block lasts."""

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
    """Run ``start`` in a nursery beside the block; cancel it when the block ends.

    Args:
      start: as for `trio.Nursery.start`: called with ``task_status``.

    Yields:
      What ``start`` gave to ``task_status.started``.

    Raises:
      The block's own error, as it is, in no group. Else what ``start`` raised, likewise.

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
        # The block's own error goes first. But that the block was cancelled may be
        # because ``start`` failed, and then that is what happened.
        if without_cancelled(error) is None:
            raise lone(group) from None
    if error is not None:
        raise error
