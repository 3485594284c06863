"""The Majordomo Protocol (MDP): its commands, and a table of their frames for each dialect.

RFC 7 (MDP 0.1), RFC 18 (MDP 0.2) and the majortomo package share the commands. They differ in
the delimiter, the headers, the codes, and in whether a reply repeats the service. All of this
is in three tables with one row for each command, written as in the RFCs. `Dialect` uses the same
rows to decode and encode. The fourth dialect has the rows of 0.2 in the framing of `packed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never, final
from typing import Final as Constant

from ..errors import LocalProtocolError, RemoteProtocolError
from . import head
from .packed import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "MAJORTOMO",
    "MDP",
    "MDP01",
    "MDP02",
    "PACKED",
    "ClientFinal",
    "ClientPartial",
    "ClientRequest",
    "Command",
    "Dialect",
    "Disconnect",
    "Final",
    "Heartbeat",
    "Partial",
    "Ready",
    "Reply",
    "Request",
    "Row",
]


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to broker: the worker is ready for requests for ``service``."""

    service: str


@dataclass(frozen=True, slots=True)
class Request:
    """Broker to worker: a request of ``client``, an opaque return address."""

    client: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """Worker to broker: part of a reply; more will follow. Unknown to RFC 7."""

    client: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Final:
    """Worker to broker: the end of a reply (RFC 7: REPLY); the worker is idle again."""

    client: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """In both directions: a heartbeat."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """In both directions: the sender ends the conversation."""


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """Client to broker: a request. ``service`` is the unchanged frame: see `head`."""

    service: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClientPartial:
    """Broker to client: part of a reply; more will follow. Unknown to RFC 7."""

    service: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """Broker to client: the end of a reply of ``service``."""

    service: bytes
    body: tuple[bytes, ...]


Command: TypeAlias = Ready | Request | Partial | Final | Heartbeat | Disconnect
Reply: TypeAlias = ClientPartial | ClientFinal

#: The frames of a command: constant bytes, and the names of variable fields. A "gap" is the empty
#: frame after an address, which some workers omit (that of the zguide in PHP). The address is a
#: token made by the broker, so it is known where the body begins.
Row: TypeAlias = tuple[bytes | Literal["service", "address", "gap", "body"], ...]


def _read(row: Row, frames: Sequence[bytes]) -> tuple[bytes, bytes, tuple[bytes, ...]] | None:
    """Return the service, address and body in ``frames``; None if these do not fit ``row``."""
    service = address = b""
    at, count = 0, len(frames)
    for place in row:
        if at == count:
            return None
        frame = frames[at]
        if isinstance(place, bytes):
            if frame != place:
                return None
        elif place == "body":
            return service, address, tuple(frames[at:])
        elif place == "service":
            service = frame
        elif place == "address":
            if not frame:
                return None
            address = frame
        elif frame:
            continue
        at += 1
    return (service, address, ()) if at == count else None


def _write(row: Row, service: bytes, address: bytes, body: tuple[bytes, ...]) -> list[bytes]:
    frames: list[bytes] = []
    for place in row:
        if isinstance(place, bytes):
            frames.append(place)
        elif place == "body":
            if not body:  # RFC 18: "Frames 3+: Request body (opaque binary)"
                raise LocalProtocolError("a body has at least one frame, which may be empty")
            frames += body
        elif place == "service":
            frames.append(service)
        elif place == "address":
            if not address:
                raise LocalProtocolError("a client address is not empty")
            frames.append(address)
        else:
            frames.append(b"")
    return frames


@final
class Dialect:
    """One dialect of MDP: encodes commands and decodes frames.

    The frames are those that a DEALER sends and a ROUTER receives after the routing id,
    including the delimiter if the dialect has one. Decoding raises RemoteProtocolError if the
    frames are not a valid command, and no other exception. Encoding raises LocalProtocolError
    if the dialect has no such command (RFC 7 has no PARTIAL), if a body has no frames, if an
    address is empty, or if the service name of a worker is invalid.

    ``worker`` has the rows of the commands between a worker and a broker, ``client`` those of
    a request and of the replies to it. ``is_packed``: they are sent in the framing of `packed`.
    """

    def __init__(
        self,
        name: str,
        worker: Mapping[type[Command], Row],
        client: Mapping[type[ClientRequest | Reply], Row],
        *,
        is_packed: bool = False,
    ) -> None:
        self.name = name
        self.worker = worker
        self.client = client
        self.is_packed = is_packed
        #: Whether an empty frame comes first.
        self.is_delimited = client[ClientRequest][0] == b""
        #: Whether the dialect has partial replies.
        self.streams = ClientPartial in client
        # The broker of the C library sends no heartbeats to a worker that sends them.
        self.beats_back = not is_packed

    def decode_worker(self, frames: Sequence[bytes]) -> Command:
        """Decode one command between a worker and a broker."""
        frames = unpack(frames) if self.is_packed else frames
        for kind, row in self.worker.items():
            fields = _read(row, frames)
            if fields is None:
                continue
            service, address, body = fields
            if kind is Ready:
                return Ready(head.service_name(service))
            if kind is Request or kind is Partial or kind is Final:
                return kind(address, body)
            return Heartbeat() if kind is Heartbeat else Disconnect()
        raise self._not("a worker command", frames)

    def encode_worker(self, command: Command) -> list[bytes]:
        """Encode one command between a worker and a broker."""
        row = self.worker.get(type(command))
        match command:
            case Heartbeat() | Disconnect():
                return self._framed(row, b"", b"", ())
            case Ready(service):
                return self._framed(row, head.service_frame(service), b"", ())
            case Request(address, body) | Partial(address, body) | Final(address, body):
                return self._framed(row, b"", address, body)
        assert_never(command)

    def decode_request(self, frames: Sequence[bytes]) -> ClientRequest:
        """Decode a client's request; `head` checks the service frame."""
        frames = unpack(frames) if self.is_packed else frames
        fields = _read(self.client[ClientRequest], frames)
        if fields is None:
            raise self._not("a request with a service and a body", frames)
        return ClientRequest(fields[0], fields[2])

    def service_of(self, frames: Sequence[bytes]) -> bytes:
        """Return the service frame of a possible request; empty if it has none."""
        try:
            frames = unpack(frames) if self.is_packed else frames
        except RemoteProtocolError:
            return b""
        at = self.client[ClientRequest].index("service")
        return frames[at] if len(frames) > at else b""

    def encode_request(self, request: ClientRequest) -> list[bytes]:
        """Encode a client's request."""
        return self._framed(self.client[ClientRequest], request.service, b"", request.body)

    def decode_reply(self, frames: Sequence[bytes]) -> Reply:
        """Decode a broker's reply; ``service`` is empty if the dialect does not repeat it."""
        frames = unpack(frames) if self.is_packed else frames
        for kind in (ClientPartial, ClientFinal):
            if kind in self.client and (fields := _read(self.client[kind], frames)):
                return kind(fields[0], fields[2])
        raise self._not("a reply", frames)

    def encode_reply(self, reply: Reply) -> list[bytes]:
        """Encode a broker's reply."""
        return self._framed(self.client.get(type(reply)), reply.service, b"", reply.body)

    def _framed(
        self, row: Row | None, service: bytes, address: bytes, body: tuple[bytes, ...]
    ) -> list[bytes]:
        if row is None:
            raise LocalProtocolError(f"{self.name} has no PARTIAL: gather the parts")
        frames = _write(row, service, address, body)
        return pack(frames) if self.is_packed else frames

    def _not(self, what: str, frames: Sequence[bytes]) -> RemoteProtocolError:
        start = [bytes(frame[:16]) for frame in frames[:3]]
        message = f"{self.name}: not {what}, but {len(frames)} frames that begin {start!r}"
        return RemoteProtocolError(message)


#: RFC 7, as implemented by the peers of the zguide. Every message begins with an empty frame,
#: which a REQ socket adds by itself. There are no partial replies; the RFC calls a reply REPLY.
MDP01: Constant = Dialect(
    "mdp01",
    worker={
        Ready: (b"", b"MDPW01", b"\x01", "service"),
        Request: (b"", b"MDPW01", b"\x02", "address", b"", "body"),
        Final: (b"", b"MDPW01", b"\x03", "address", "gap", "body"),
        Heartbeat: (b"", b"MDPW01", b"\x04"),
        Disconnect: (b"", b"MDPW01", b"\x05"),
    },
    client={
        ClientRequest: (b"", b"MDPC01", "service", "body"),
        ClientFinal: (b"", b"MDPC01", "service", "body"),
    },
)

#: RFC 18, exactly as specified: no delimiter, and codes that differ from 0.1. A client's
#: PARTIAL and FINAL are 02 and 03, a worker's 03 and 04.
MDP02: Constant = Dialect(
    "mdp02",
    worker={
        Ready: (b"MDPW02", b"\x01", "service"),
        Request: (b"MDPW02", b"\x02", "address", b"", "body"),
        Partial: (b"MDPW02", b"\x03", "address", "gap", "body"),
        Final: (b"MDPW02", b"\x04", "address", "gap", "body"),
        Heartbeat: (b"MDPW02", b"\x05"),
        Disconnect: (b"MDPW02", b"\x06"),
    },
    client={
        ClientRequest: (b"MDPC02", b"\x01", "service", "body"),
        ClientPartial: (b"MDPC02", b"\x02", "service", "body"),
        ClientFinal: (b"MDPC02", b"\x03", "service", "body"),
    },
)

#: RFC 18 as the Python package of this name implements it: other codes, no service in a reply.
MAJORTOMO: Constant = Dialect(
    "majortomo",
    worker={kind: (b"", *row) for kind, row in MDP02.worker.items()},
    client={
        ClientRequest: (b"", b"MDPC02", b"\x02", "service", "body"),
        ClientPartial: (b"", b"MDPC02", b"\x03", "body"),
        ClientFinal: (b"", b"MDPC02", b"\x04", "body"),
    },
)

PACKED: Constant = Dialect("packed", MDP02.worker, MDP02.client, is_packed=True)

#: All dialects of MDP, by name.
MDP: Constant = {dialect.name: dialect for dialect in (MDP01, MDP02, MAJORTOMO, PACKED)}
