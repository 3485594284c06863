"""Streamed responses: the values of a handler's iterator, converted to parts."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final, final

import trio

from .. import json_codec
from ..json_codec import plain_bytes
from ..messages import OCTETS

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterator

__all__ = ["NDJSON", "Stream", "Threaded", "is_stream"]

#: The media type of a stream of JSON values: each is a line.
NDJSON: Final = "application/x-ndjson"

#: The maximum number of values that a thread takes from a generator at once. A thread costs 38 us.
AT_ONCE: Final = 32

#: A generator that takes longer for a value, in seconds, is asked for one value at a time.
QUICK: Final = 0.001

_END: Final = object()


def is_stream(kind: type) -> bool:
    """Return whether values of ``kind`` are async iterables."""
    return hasattr(kind, "__aiter__")


@final
class Stream:
    """An async iterator of parts: bytes are unchanged, and any other value is a line of JSON.

    The task that iterates it must also close it.
    """

    def __init__(self, values: AsyncIterable[object]) -> None:
        self._values: AsyncIterator[object] = aiter(values)
        self._first: object = None
        self._has_first = False

    async def begin(self) -> str:
        """Take the first value, and return the media type of the stream.

        Raises:
          Exception: from the iterator. It was closed then.

        """
        try:
            self._first = await anext(self._values, _END)
        except BaseException:
            await self.aclose()
            raise
        self._has_first = True
        return OCTETS if isinstance(self._first, bytes) else NDJSON

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        if self._has_first:
            value, self._has_first = self._first, False
            self._first = None
        else:
            value = await anext(self._values, _END)
        if value is _END:
            raise StopAsyncIteration
        if isinstance(value, bytes):
            return value if type(value) is bytes else plain_bytes(value)
        return json_codec.encode(value) + b"\n"

    async def aclose(self) -> None:
        """Close the iterator, if it can be closed."""
        close = getattr(self._values, "aclose", None)
        if close is not None:
            await close()


@final
class Threaded:
    """An async iterator of the values of a generator that runs in threads.

    A thread takes many values at once from a generator that is quick, and one at a time from any
    other, so that no value waits for the next one.

    Args:
      values: what a handler with ``yield`` has returned.
      threads: the limiter for ``def`` handlers.

    """

    def __init__(self, threads: trio.CapacityLimiter, values: Iterator[object]) -> None:
        self._values = values
        self._threads = threads
        self._ready: list[object] = []  # in reverse order
        self._at_once = 1
        self._end: Exception | None = None

    def __aiter__(self) -> Threaded:
        return self

    async def __anext__(self) -> object:
        if not self._ready and self._end is None:
            await self._take()
        if self._ready:
            return self._ready.pop()
        assert self._end is not None
        raise self._end

    async def _take(self) -> None:
        began, count = monotonic(), self._at_once
        taken, self._end = await trio.to_thread.run_sync(
            _take, self._values, count, limiter=self._threads
        )
        is_quick = monotonic() - began < QUICK * count
        self._at_once = min(2 * count, AT_ONCE) if is_quick else 1
        self._ready = taken[::-1]

    async def aclose(self) -> None:
        """Close the generator, in a thread."""
        close = getattr(self._values, "close", None)
        if close is not None:
            await trio.to_thread.run_sync(close, limiter=self._threads)


def _take(values: Iterator[object], count: int) -> tuple[list[object], Exception | None]:
    """Return up to ``count`` values, and the end or error that came before that many."""
    taken = []
    try:
        for _ in range(count):
            try:
                taken.append(next(values))
            except StopIteration:
                return taken, StopAsyncIteration()
    except Exception as error:
        return taken, error
    return taken, None
