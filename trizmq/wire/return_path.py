"""The way back to a caller that does not speak the native dialect."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..errors import LocalProtocolError, RemoteProtocolError
from . import bridge, plain
from .items import Part, Response
from .mdp import MDP

__all__ = ["PLAIN", "MalformedCall", "MalformedCommand", "ReturnPath"]

#: The name of the one other foreign dialect.
PLAIN: Final = "plain"


class ReturnPath(NamedTuple):
    """How to answer one foreign call: in its dialect, along its envelope.

    Args:
      dialect: ``"mdp01"``, ``"mdp02"``, ``"majortomo"``, ``"packed"`` or ``"plain"``.
      envelope: the frames to repeat in front: addresses, and the empty frame that ended them.
        Empty if the peer used no delimiter.
      service: the service frame that was asked for, byte for byte; empty for ``plain``.

    """

    dialect: str
    envelope: tuple[bytes, ...]
    service: bytes = b""

    @property
    def streams(self) -> bool:
        """Whether parts can be sent. If not, gather them and send one response."""
        return self.dialect != PLAIN and MDP[self.dialect].streams

    @property
    def is_bare(self) -> bool:
        """Whether a call is only a service and a body: it has neither an id nor a deadline."""
        return self.dialect != PLAIN

    def encode(self, item: Response | Part) -> list[bytes]:
        """Return the frames to send, after the routing id.

        A response in which a handler has put what cannot be written becomes a 500.

        Raises:
          LocalProtocolError: if ``item`` is a part and this dialect has none.

        """
        try:
            return [*self.envelope, *self._payload(item)]
        except Exception:
            if isinstance(item, Part):
                raise
            return [*self.envelope, *self._payload(bridge.unsent(item))]

    def _payload(self, item: Response | Part) -> list[bytes]:
        # The codecs write a delimiter where their dialect has one; here it is the envelope's.
        if self.dialect != PLAIN:
            codec = MDP[self.dialect]
            return codec.encode_reply(bridge.reply_of(item, self.service))[codec.is_delimited :]
        if isinstance(item, Part):
            raise LocalProtocolError("plain has no partial replies: gather the parts")
        return plain.encode_reply(item)[1:]


class MalformedCall(RemoteProtocolError):  # noqa: N818 (the cause is the name)
    """A foreign call that makes no sense, from a peer that can be told so.

    Attributes:
      return_path: where to send the response; the message is its detail, for the caller's eyes.
      status: the response's.

    """

    def __init__(self, message: str, return_path: ReturnPath, *, status: int = 400) -> None:
        super().__init__(message)
        self.return_path = return_path
        self.status = status


class MalformedCommand(RemoteProtocolError):  # noqa: N818 (the cause is the name)
    """What begins as a worker's command does, and is none: send its sender away.

    Attributes:
      dialect: of MDP.

    """

    def __init__(self, message: str, dialect: str) -> None:
        super().__init__(message)
        self.dialect = dialect
