"""How to respond to a caller that does not use the native dialect."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import LocalProtocolError, RemoteProtocolError
from . import bridge, plain
from .items import Part, Response
from .mdp import MDP

__all__ = ["PLAIN", "MalformedCall", "MalformedCommand", "ReturnPath"]

#: The name of the only foreign dialect that is not MDP.
PLAIN: Final = "plain"


class ReturnPath(NamedTuple):
    """The dialect and the envelope of the response to a foreign call.

    Args:
      dialect: ``"mdp01"``, ``"mdp02"``, ``"majortomo"``, ``"packed"`` or ``"plain"``.
      envelope: the frames to repeat before the response: the addresses and the empty frame that
        ended them. Empty if the peer used no delimiter.
      service: the request's service frame, unchanged; empty for ``plain``.

    """

    dialect: str
    envelope: tuple[bytes, ...]
    service: bytes = b""

    @property
    def streams(self) -> bool:
        """Whether the dialect has partial replies. If not, join the parts into one response."""
        return self.dialect != PLAIN and MDP[self.dialect].streams

    @property
    def is_bare(self) -> bool:
        """Whether a call has only a service and a body, with no id and no deadline."""
        return self.dialect != PLAIN

    def encode(self, item: Response | Part) -> list[bytes]:
        """Return the frames to send, after the routing id.

        If a response cannot be encoded because of what the handler put in it, a 500 is
        encoded instead.

        Raises:
          LocalProtocolError: if ``item`` is a part and this dialect has no partial replies.

        """
        try:
            return [*self.envelope, *self._payload(item)]
        except Exception:
            if isinstance(item, Part):
                raise
            return [*self.envelope, *self._payload(bridge.unsent(item))]

    def _payload(self, item: Response | Part) -> list[bytes]:
        # The envelope already has the delimiter, so the one that the codec writes is cut off.
        if self.dialect != PLAIN:
            codec = MDP[self.dialect]
            return codec.encode_reply(bridge.reply_of(item, self.service))[codec.is_delimited :]
        if isinstance(item, Part):
            raise LocalProtocolError("plain has no partial replies: gather the parts")
        return plain.encode_reply(item)[1:]


class MalformedCall(RemoteProtocolError):  # noqa: N818 (named after the cause)
    """A malformed foreign call, to which an error response can be sent.

    Attributes:
      return_path: where to send the response, whose detail is the message of this exception.
      status: the status of the response.

    """

    def __init__(self, message: str, return_path: ReturnPath, *, status: int = 400) -> None:
        super().__init__(message)
        self.return_path = return_path
        self.status = status


class MalformedCommand(RemoteProtocolError):  # noqa: N818 (named after the cause)
    """A malformed MDP worker command; its sender should be disconnected.

    Attributes:
      dialect: the MDP dialect it was sent in.

    """

    def __init__(self, message: str, dialect: str) -> None:
        super().__init__(message)
        self.dialect = dialect
