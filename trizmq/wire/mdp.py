"""The Majordomo Protocol (MDP), both directions, for whichever dialect a table describes.

What RFC 7, RFC 18 and the majortomo package disagree about is how a command *opens*: the
delimiter, the header, the code. What follows the opening is the same in all of them:

====================================  ==============================
a worker's READY                      service
a worker's REQUEST, PARTIAL, FINAL    client address, empty, body...
a worker's HEARTBEAT, DISCONNECT      nothing
a client's REQUEST, PARTIAL, FINAL    service, body...
====================================  ==============================

So a dialect is its table of openings, and this file is all the code there is; but for
`packing`, which makes one frame of what comes before the body.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (compiled, a dataclass looks at its fields)
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never, final
from typing import Final as Constant

from ..errors import LocalProtocolError, RemoteProtocolError
from . import head
from .commands import (
    ClientFinal,
    ClientPartial,
    ClientRequest,
    Disconnect,
    Final,
    Heartbeat,
    Partial,
    Ready,
    Request,
)
from .packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .commands import Command, Reply

__all__ = [
    "CLIENT_HEADERS",
    "DELIMITER",
    "WORKER_HEADERS",
    "Codec",
    "Opening",
]

#: The empty frame that a REQ socket puts in front of what it sends.
DELIMITER: Constant = b""

CLIENT_HEADERS: Constant = frozenset({b"MDPC01", b"MDPC02"})
WORKER_HEADERS: Constant = frozenset({b"MDPW01", b"MDPW02"})

#: The first frames of a command, of one length for all that a peer of one kind may say.
Opening: TypeAlias = tuple[bytes, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One dialect of MDP: commands to frames and back.

    Frames are as a DEALER puts them on the wire, and as a ROUTER hands them on behind the
    routing id: with the delimiter, where the dialect has one.

    Args:
      name: the dialect's.
      worker: how each worker command opens.
      client: how each client command opens.
      replies_name_service: whether a reply repeats the service frame of its request.
      is_packed: whether the opening, and the service, are packed into one frame.

    """

    name: str
    worker: Mapping[type[Command], Opening]
    client: Mapping[type[ClientRequest | ClientPartial | ClientFinal], Opening]
    replies_name_service: bool = True
    is_packed: bool = False

    @property
    def is_delimited(self) -> bool:
        """Whether an empty frame comes first."""
        return self.client[ClientRequest][0] == DELIMITER

    @property
    def streams(self) -> bool:
        """Whether a reply may come in parts."""
        return ClientPartial in self.client

    def decode_worker(self, frames: Sequence[bytes]) -> Command:
        """Read one command between a worker and a broker.

        Raises:
          RemoteProtocolError: if it is none. No other exception leaves.

        """
        if self.is_packed:
            frames = unpack(frames)
        for kind, opening in self.worker.items():
            if _opens(frames, opening):
                return _read_command(kind, frames[len(opening) :])
        raise _unknown(self.name, "worker", frames)

    def encode_worker(self, command: Command) -> list[bytes]:
        """Write one command between a worker and a broker.

        Raises:
          LocalProtocolError: if this dialect cannot say it: a PARTIAL in RFC 7, a body without
            frames, an address or a service that is empty or no service name.

        """
        opening = self.worker.get(type(command))
        if opening is None:
            raise LocalProtocolError(f"{self.name} has no {type(command).__name__}")
        return self._framed([*opening, *_write_command(command)])

    def decode_request(self, frames: Sequence[bytes]) -> ClientRequest:
        """Read a client's request; whether the service frame makes sense is left to `head`.

        Raises:
          RemoteProtocolError: if it is none. No other exception leaves.

        """
        opening = self.client[ClientRequest]
        if self.is_packed:
            frames = unpack(frames)
        if not _opens(frames, opening):
            raise _unknown(self.name, "client", frames)
        match frames[len(opening) :]:
            case [service, *body] if body:
                return ClientRequest(service, tuple(body))
        raise RemoteProtocolError("a request has a service frame and a body of one frame or more")

    def service_of(self, frames: Sequence[bytes]) -> bytes:
        """Return the service frame of what may be a request; empty if it has none."""
        at = len(self.client[ClientRequest])
        if self.is_packed:
            try:
                frames = unpack(frames)
            except RemoteProtocolError:
                return b""
        return frames[at] if len(frames) > at else b""

    def encode_request(self, request: ClientRequest) -> list[bytes]:
        """Write a client's request.

        Raises:
          LocalProtocolError: if its body has no frame.

        """
        opening = self.client[ClientRequest]
        return self._framed([*opening, request.service, *_at_least_one(request.body)])

    def decode_reply(self, frames: Sequence[bytes]) -> Reply:
        """Read a broker's reply; ``service`` is empty where the dialect does not repeat it.

        Raises:
          RemoteProtocolError: if it is none: drop it. No other exception leaves.

        """
        if self.is_packed:
            frames = unpack(frames)
        for kind in (ClientPartial, ClientFinal):
            opening = self.client.get(kind)
            if opening is None or not _opens(frames, opening):
                continue
            match frames[len(opening) :]:
                case [service, *body] if body and self.replies_name_service:
                    return kind(service, tuple(body))
                case [*body] if body and not self.replies_name_service:
                    return kind(b"", tuple(body))
        raise _unknown(self.name, "client", frames)

    def encode_reply(self, reply: Reply) -> list[bytes]:
        """Write a broker's reply.

        Raises:
          LocalProtocolError: if its body has no frame, or if it is a PARTIAL and this dialect
            has none.

        """
        opening = self.client.get(type(reply))
        if opening is None:
            raise LocalProtocolError(f"{self.name} has no partial replies: gather the parts")
        service = [reply.service] if self.replies_name_service else []
        return self._framed([*opening, *service, *_at_least_one(reply.body)])

    def _framed(self, frames: list[bytes]) -> list[bytes]:
        return pack(frames) if self.is_packed else frames


def _opens(frames: Sequence[bytes], opening: Opening) -> bool:
    return tuple(frames[: len(opening)]) == opening


def _read_command(kind: type[Command], frames: Sequence[bytes]) -> Command:
    """Read what follows the opening."""
    # "A REQUEST command consists of a multipart message of 6 or more frames" and the like
    # (RFC 7): the rest of the table is in these three patterns.
    match frames:
        case [] if kind is Heartbeat or kind is Disconnect:
            return kind()
        case [service] if kind is Ready:
            return Ready(head.service_name(service))
        case [client, b"", *body] if client and body:
            if kind is Request or kind is Partial or kind is Final:
                return kind(client, tuple(body))
        case [client, first, *rest] if client and first and (kind is Partial or kind is Final):
            # Some workers leave out the empty frame (the zguide's in PHP). The address is a
            # token of ours, so that it is known where the body begins.
            return kind(client, (first, *rest))
    raise RemoteProtocolError(f"an MDP {kind.__name__} with {len(frames)} frames that do not fit")


def _write_command(command: Command) -> list[bytes]:
    match command:
        case Heartbeat() | Disconnect():
            return []
        case Ready(service):
            return [head.service_frame(service)]
        case Request(client, body) | Partial(client, body) | Final(client, body):
            if not client:
                raise LocalProtocolError("a client address is not empty")
            return [client, b"", *_at_least_one(body)]
    assert_never(command)


def _at_least_one(body: tuple[bytes, ...]) -> tuple[bytes, ...]:
    # RFC 18: "Frames 3+: Request body (opaque binary)". Zero frames would be no body at all.
    if not body:
        raise LocalProtocolError("a body has at least one frame, which may be empty")
    return body


def _unknown(dialect: str, who: str, frames: Sequence[bytes]) -> RemoteProtocolError:
    start = [bytes(frame[:16]) for frame in frames[:3]]
    return RemoteProtocolError(
        f"not a {who} command of {dialect}: {len(frames)} frames, the first are {start!r}"
    )
