"""The parts of a response that came ahead of its end, for a caller who wants it whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..errors import RemoteProtocolError
from ..wire.items import frames_of
from .limits import Limits

if TYPE_CHECKING:
    from ..wire.items import Body

__all__ = ["MAX_BYTES", "Parts"]

#: As many bytes as a body may have that comes in one.
MAX_BYTES: Final = Limits().body_bytes


@final
class Parts:
    """Joined in the order in which they were sent, which is that in which they come."""

    def __init__(self) -> None:
        self.count = 0
        self._data = bytearray()  # one buffer: a million small parts are not a million objects

    def add(self, seq: int, body: Body) -> None:
        """Take in the next part.

        Raises:
          RemoteProtocolError: one is missing, or they are larger than a body may be.

        """
        if seq != self.count:
            raise RemoteProtocolError(f"part {seq} of a response came where {self.count} was due")
        self.count += 1
        for frame in frames_of(body):
            self._data += frame
        if len(self._data) > MAX_BYTES:
            raise RemoteProtocolError(f"the parts of a response are larger than {MAX_BYTES} bytes")

    def before(self, body: bytes, count: int) -> bytes:
        """Return all of it: the parts, then the body that came with the end.

        ``count`` is how many parts the end says that there were; 0 if it does not say.

        Raises:
          RemoteProtocolError: the last ones are missing.

        """
        if count and count != self.count:
            raise RemoteProtocolError(f"{self.count} of the {count} parts of a response came")
        return bytes(self._data) + body
