"""The parts of a response, as they arrive: joined to one body, or read as a stream."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, final

from ..errors import LocalProtocolError, RemoteProtocolError
from ..limits import Limits
from ..messages import ResponseError
from ..wire.items import PART_OVERHEAD, frames_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import TrizmqError
    from ..headers import Headers
    from ..messages import Response
    from ..wire.items import Body

__all__ = ["Inflow", "Parts"]

#: The same maximum as for a body in one piece.
MAX_BYTES: Final = Limits().body_bytes


@final
class Parts:
    """The parts of a response, joined in the order in which they are sent and received."""

    def __init__(self) -> None:
        self.count = 0
        self._data = bytearray()  # a single buffer instead of up to a million small objects

    def add(self, seq: int, body: Body) -> None:
        """Add the next part.

        Raises:
          RemoteProtocolError: if one is missing, or they are larger than a body may be.

        """
        if seq != self.count:
            raise RemoteProtocolError(f"part {seq} of a response came where {self.count} was due")
        self.count += 1
        for frame in frames_of(body):
            self._data += frame
        if len(self._data) > MAX_BYTES:
            raise RemoteProtocolError(f"the parts of a response are larger than {MAX_BYTES} bytes")

    def before(self, body: bytes, count: int) -> bytes:
        """Return the parts, followed by the body that came with the end.

        ``count`` is the number of parts according to the end; 0 if it does not contain one.

        Raises:
          RemoteProtocolError: if the last ones are missing.

        """
        if count and count != self.count:
            raise RemoteProtocolError(f"{self.count} of the {count} parts of a response came")
        return bytes(self._data) + body


@final
class Inflow:
    """A streamed response: the parts that have arrived and were not read yet.

    Args:
      window: the number of bytes that the sender may send before it is granted more.
      wake: called when there is something to read, or the end.

    Raises:
      LocalProtocolError: if the window is less than 1.

    Attributes:
      status: None until the head has arrived.
      has_ended: whether the end has arrived; the unread parts come before it.

    """

    def __init__(self, window: int, wake: Callable[[], object]) -> None:
        if window < 1:
            raise LocalProtocolError(f"window is a number of bytes, at least 1, not {window}")
        self.window = window
        self.wake = wake
        self.status: int | None = None
        self.headers: Headers | None = None
        self.has_ended = False
        self._parts: deque[bytes] = deque()
        self._count = 0
        self._unread = 0
        self._owed = 0

    def begin(self, status: int, headers: Headers) -> None:
        """Record the head."""
        if self.status is None:
            self.status, self.headers = status, headers

    def add(self, seq: int, body: Body) -> None:
        """Add the next part.

        Raises:
          RemoteProtocolError: if one is missing, or the sender has exceeded the window.

        """
        if seq != self._count:
            raise RemoteProtocolError(f"part {seq} of a stream came where {self._count} was due")
        self._count += 1
        if self.status is None:
            raise RemoteProtocolError("a part of a stream came before its head")
        for frame in frames_of(body):
            self._append(frame)
        # One part may exceed the window, so that a part that is larger than it can be sent.
        if self._unread - _cost(self._parts[-1]) > self.window:
            raise RemoteProtocolError(f"a stream has sent more than its window, {self.window}")

    def finish(self, response: Response, count: int) -> Response | TrizmqError:
        """Return the outcome of the call, given its end and the number of parts that were sent.

        A response without a head is an ordinary one, and its body is the only part. The end of a
        stream repeats the status, and has no body; any other end with an error status means that
        the stream has failed.
        """
        self.has_ended = True
        has_failed = (
            self.status is not None
            and response.is_error
            and (bool(response.body) or response.status != self.status)
        )
        if has_failed:
            try:
                response.raise_for_status()
            except ResponseError as error:
                return error
        if count and count != self._count:
            return RemoteProtocolError(f"{self._count} of the {count} parts of a stream came")
        self.begin(response.status, response.headers)
        if response.body:
            self._append(response.body)
        return response

    def _append(self, part: bytes) -> None:
        self._parts.append(part)
        self._unread += _cost(part)

    def take(self) -> bytes | None:
        """Return the next part, or None if none is there."""
        if not self._parts:
            return None
        part = self._parts.popleft()
        cost = _cost(part)
        self._unread -= cost
        self._owed += cost
        return part

    @property
    def has_parts(self) -> bool:
        """Whether there are unread parts."""
        return bool(self._parts)

    def take_all(self) -> list[bytes]:
        """Return all unread parts."""
        parts = list(self._parts)
        self._parts.clear()
        self._owed += self._unread
        self._unread = 0
        return parts

    def take_credit(self) -> int:
        """Return the bytes to grant to the sender; 0 if it is too early."""
        if 2 * self._owed < self.window or self.has_ended:
            return 0
        owed, self._owed = self._owed, 0
        return owed


def _cost(part: bytes) -> int:
    return len(part) + PART_OVERHEAD
