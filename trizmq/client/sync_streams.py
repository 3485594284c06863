"""Streamed responses for threads: a block in which the parts are read as they arrive."""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Generic, TypeVar, final

import msgspec

from .readers import Reader, StreamedResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .links import Pending
    from .thread import ClientThread

__all__ = ["SyncResponseStream", "SyncStreamedCall"]

T = TypeVar("T")


@final
class SyncResponseStream(StreamedResponse):
    """A response whose body is read in parts: ``for part in response``.

    Created by `SyncClient.stream`. A part is the bytes of one ``yield`` of the handler.

    Attributes:
      status: 100..599. A call that ends before its stream begins has an ordinary response, whose
        body is the only part.
      headers: with case-insensitive names.

    Raises (from the iteration, after the parts that arrived before it):
      ResponseError: the handler has failed after its first part.
      DeadlineExceeded: no part arrived within the timeout.
      Unreachable: the broker, or the client's thread, was lost.
      RemoteProtocolError: a part is missing.

    """

    def __init__(self, call: SyncStreamedCall, reader: Reader) -> None:
        super().__init__(reader.inflow, reader.pending)
        self._call = call
        self._parts: deque[bytes] = deque()
        self._is_over = False

    def items(self, kind: type[T]) -> _Items[T]:
        """Return an iterator that decodes each part from JSON to ``kind``.

        Raises (from the iteration):
          msgspec.DecodeError: if a part is not JSON, or not a valid ``kind``.

        """
        return _Items(self, kind)

    def __iter__(self) -> SyncResponseStream:
        return self

    def __next__(self) -> bytes:
        if not self._parts and not self._is_over:
            self._parts.extend(self._call.read())
            self._is_over = not self._parts
        if not self._parts:
            raise StopIteration
        return self._parts.popleft()


@final
class _Items(Generic[T]):
    def __init__(self, response: SyncResponseStream, kind: type[T]) -> None:
        self._response = response
        self._decode = msgspec.json.Decoder(kind).decode

    def __iter__(self) -> _Items[T]:
        return self

    def __next__(self) -> T:
        return self._decode(next(self._response))


@final
class SyncStreamedCall(AbstractContextManager[SyncResponseStream, None]):
    """One call with a streamed response, a context manager: see `SyncClient.stream`."""

    def __init__(
        self, thread: Callable[[], ClientThread], pending: Pending, window: int, timeout: float
    ) -> None:
        self._start = thread
        self._reader = Reader(pending, window)
        self._timeout = timeout
        self._thread: ClientThread | None = None

    def read(self) -> list[bytes]:
        """Wait for parts, and return them; an empty list is the end."""
        assert self._thread is not None
        return self._thread.read(self._reader, self._timeout)

    def __enter__(self) -> SyncResponseStream:
        self._thread = thread = self._start()
        thread.open_stream(self._reader, self._timeout)
        return SyncResponseStream(self, self._reader)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._thread.leave(self._reader.pending)
