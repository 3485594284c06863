"""Items of one peer, however many, as native messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import native
from .bridge import unwritable
from .items import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .items import Item

__all__ = ["batches"]


def batches(items: Sequence[Item]) -> list[tuple[list[bytes], int]]:
    """Write ``items`` as messages of at most `native.BATCH` items each.

    A response in which a handler has put what cannot be written becomes a 500: it must
    take nobody else's response with it.

    Returns:
      (frames, number of items) of each message.

    """
    if len(items) <= native.BATCH:
        return _written(items)
    written = []
    for start in range(0, len(items), native.BATCH):
        written += _written(items[start : start + native.BATCH])
    return written


def _written(batch: Sequence[Item]) -> list[tuple[list[bytes], int]]:
    if not batch:
        return []
    try:
        return [(native.encode(batch), len(batch))]
    except Exception:
        return [(_writable(item), 1) for item in batch]


def _writable(item: Item) -> list[bytes]:
    try:
        return native.encode([item])
    except Exception:
        if not isinstance(item, Response):
            raise  # nothing else has in it what handlers made
        return native.encode([unwritable(item)])
