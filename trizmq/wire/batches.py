"""Encoding any number of items for one peer as native messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import native
from .bridge import unsent
from .items import DEFAULT_TAKES, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .items import Item

__all__ = ["TOGETHER", "batches"]

#: The maximum size of a message with several items. Other messages wait while it is sent, and the
#: receiver can read none of it until all of it has arrived.
TOGETHER: Final = 4 * 1024 * 1024


def batches(
    items: Sequence[Item],
    message_bytes: int = DEFAULT_TAKES.message_bytes,
    left_out: list[Item] | None = None,
) -> list[tuple[list[bytes], int]]:
    """Encode ``items`` as messages of at most `native.BATCH` items and ``message_bytes`` each.

    A response that is too large on its own, or that contains a handler's value that cannot be
    encoded, becomes a 500, so that other responses are not affected. Any other such item is
    omitted, and added to ``left_out`` if that is given.

    Returns:
      (frames, number of items) of each message.

    """
    if len(items) <= native.BATCH:
        return _written(items, message_bytes, left_out)
    written = []
    for start in range(0, len(items), native.BATCH):
        written += _written(items[start : start + native.BATCH], message_bytes, left_out)
    return written


def _written(
    batch: Sequence[Item], message_bytes: int, left_out: list[Item] | None
) -> list[tuple[list[bytes], int]]:
    if not batch:
        return []
    frames = _message(batch)
    if frames:
        size = len(frames[0]) if len(frames) == 1 else sum(map(len, frames))
        if size <= message_bytes and (size <= TOGETHER or len(batch) == 1):
            return [(frames, len(batch))]
    if len(batch) > 1:
        half = len(batch) // 2
        return [
            *_written(batch[:half], message_bytes, left_out),
            *_written(batch[half:], message_bytes, left_out),
        ]
    item = batch[0]
    if isinstance(item, Response):
        return [(native.encode([unsent(item)]), 1)]
    if left_out is not None:
        left_out.append(item)
    return []


def _message(batch: Sequence[Item]) -> list[bytes]:
    try:
        return native.encode(batch)
    except Exception:  # caused by a handler's value in a response
        return []
