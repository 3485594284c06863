"""The broker's clients: the ports through which it responds, and the clients of a socket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, final

from ..name_rules import label
from ..wire.items import MAX_BODY_FRAMES, Head, Part, Response, frames_of
from .queues import Connection

if TYPE_CHECKING:
    from ..wire.items import Body, Takes
    from ..wire.return_path import ReturnPath
    from .outbox import Outbox, SocketOutbox

__all__ = ["Clients", "ForeignPeer", "LocalPeer", "NativePeer", "Peer"]

#: The maximum number of characters of a native client's instance; the rest is cut off.
MAX_INSTANCE: Final = 64


class Peer(ABC):
    """A port through which the broker reaches a client.

    The calls are `calls.Flight`; they are `Any` here because a flight knows its client, and
    imports run one way.

    Attributes:
      dialect: its dialect, for display and hooks: ``"native"``, ``"mdp01"``, ``"plain"`` ...
      instance: the prefix of the request ids of its calls.
      connection: the state that all clients behind the same routing id share.
      flights: its calls in flight, by id.
      takes: the largest response that it accepts.
      is_checked: whether the names in its calls have been normalized already.
      pipelines: whether it matches responses to requests by their order, and sends no
        deadlines, as MDP clients do.
      seen: the id of the last call that was read.
      headers: the last header fields of its calls that were found to be normal.
      service_path: the prefix of an earlier call's path; ``service_name``: its service.

    """

    def __init__(
        self, dialect: str, instance: str, takes: Takes, connection: Connection | None = None
    ) -> None:
        self.dialect = dialect
        self.instance = instance
        self.takes = takes
        self.connection = connection or Connection()
        self.flights: dict[int, Any] = {}
        self.is_checked = True
        self.pipelines = False
        self.headers: dict[str, str] = {}
        self.service_path = "//"
        self.service_name = ""
        self.seen = 0

    @property
    def is_slow(self) -> bool:
        """Whether it does not read its responses."""
        return False

    def head(self, flight: Any, status: int, headers: dict[str, str]) -> None:
        """Send the beginning of a streamed response to a call with a window."""
        raise NotImplementedError  # no other dialect's calls have a window

    @abstractmethod
    def part(self, flight: Any, body: Body) -> str | None:
        """Send or keep a part of a response; return what is wrong with its size, or None."""

    @abstractmethod
    def end(self, item: Response, return_path: ReturnPath | None) -> None:
        """Send the end of a call. ``return_path``: the way back, if its dialect needs one."""

    def forget_if_idle(self) -> None:  # noqa: B027 (most are kept for longer)
        """Forget it if it has no calls in flight, and is known only while it has some."""


@final
class NativePeer(Peer):
    """A client of the native dialect: it has sent a hello, reads batches, and gets heartbeats.

    Attributes:
      address: its current routing id.
      key: identifies it when it comes back on a new connection.
      read: the bytes read since the last heartbeat with the id of the last call read.
      spoken_to: whether an item was sent to it since the last heartbeat was due.

    """

    def __init__(
        self, outbox: SocketOutbox, address: bytes, instance: str, takes: Takes, key: str
    ) -> None:
        super().__init__("native", label(instance, MAX_INSTANCE), takes)
        self.is_checked = False
        self.address = address
        self.key = key
        self.read = 0
        self.spoken_to = False
        self._outbox = outbox

    @property
    def is_slow(self) -> bool:
        slow = self._outbox.slow
        return bool(slow) and self.address in slow

    def head(self, flight: Any, status: int, headers: dict[str, str]) -> None:
        self.spoken_to = True
        self._outbox.say(self.address, Head(flight.id, status, headers))

    def part(self, flight: Any, body: Body) -> str | None:
        size = sum(map(len, frames_of(body)))
        # Without a window the client gathers the parts: the limit applies to all of them.
        if size + (0 if flight.window else flight.sent) > self.takes.body_bytes:
            return f"its parts are larger than {self.takes.body_bytes} bytes"
        self.spoken_to = True
        self._outbox.say(self.address, Part(flight.id, flight.parts, body))
        flight.parts += 1
        flight.sent += size
        return None

    def end(self, item: Response, return_path: ReturnPath | None) -> None:
        self.spoken_to = True
        self._outbox.say(self.address, item)


@final
class ForeignPeer(Peer):
    """A client of another dialect. It is known only while it has calls in flight.

    Behind a routing id there may be a queue device with many clients: ``envelope`` distinguishes
    them.
    """

    def __init__(
        self,
        clients: Clients,
        outbox: SocketOutbox,
        address: bytes,
        return_path: ReturnPath,
        takes: Takes,
        connection: Connection | None,
    ) -> None:
        dialect = return_path.dialect
        super().__init__(dialect, dialect, takes, connection)
        self.pipelines = return_path.is_bare
        self.address = address
        self.envelope = return_path.envelope
        self._outbox = outbox
        self._clients = clients

    @property
    def is_slow(self) -> bool:
        slow = self._outbox.slow
        return bool(slow) and self.address in slow

    def part(self, flight: Any, body: Body) -> str | None:
        if not flight.return_path.streams:
            return _gather(flight, body, self.takes.body_bytes)
        size = sum(map(len, frames_of(body)))
        if size > self.takes.body_bytes:
            return f"its parts are larger than {self.takes.body_bytes} bytes"
        frames = flight.return_path.encode(Part(flight.id, flight.parts, body))
        self._outbox.messages.append((self.address, frames))
        flight.parts += 1
        return None

    def end(self, item: Response, return_path: ReturnPath | None) -> None:
        assert return_path is not None
        self._outbox.messages.append((self.address, return_path.encode(item)))

    def forget_if_idle(self) -> None:
        if not self.flights:
            self._clients.forget_peer(self)


@final
class LocalPeer(Peer):
    """A client in the broker's own process: it needs no socket."""

    def __init__(self, outbox: Outbox, instance: str, takes: Takes) -> None:
        super().__init__("local", instance, takes)
        self.is_checked = False
        self._outbox = outbox

    def head(self, flight: Any, status: int, headers: dict[str, str]) -> None:
        self._outbox.answered.append((self, Head(flight.id, status, headers)))

    def part(self, flight: Any, body: Body) -> str | None:
        if not flight.window:
            return _gather(flight, body, self.takes.body_bytes)
        self._outbox.answered.append((self, Part(flight.id, flight.parts, body)))
        flight.parts += 1
        return None

    def end(self, item: Response, return_path: ReturnPath | None) -> None:
        self._outbox.answered.append((self, item))


def _gather(flight: Any, body: Body, most: int) -> str | None:
    """Keep a part until its call ends; return what is wrong with the size, or None."""
    gathered: list[bytes] = flight.gathered
    gathered += frames_of(body)
    # The number is limited, too: an empty frame costs memory, and the sum costs time.
    if len(gathered) >= MAX_BODY_FRAMES or sum(map(len, gathered)) > most:
        return f"its parts are too many, or larger than {most} bytes"
    return None


@final
class Clients:
    """The clients at one socket: native clients, and others while they have calls."""

    def __init__(self, outbox: SocketOutbox, takes: Takes) -> None:
        self.native: dict[bytes, NativePeer] = {}
        self.foreign: dict[bytes, dict[tuple[bytes, ...], ForeignPeer]] = {}
        self._outbox = outbox
        self._takes = takes

    @property
    def count(self) -> int:
        """The number of native clients, and of routing ids of others with calls in flight."""
        return len(self.native) + len(self.foreign)

    def all(self) -> list[Peer]:
        """Return all clients."""
        foreign = [peer for peers in self.foreign.values() for peer in peers.values()]
        return [*self.native.values(), *foreign]

    def at(self, address: bytes) -> list[Peer]:
        """Return all clients at ``address``."""
        there: list[Peer] = list(self.foreign.get(address, {}).values())
        if address in self.native:
            there.append(self.native[address])
        return there

    def forget(self, address: bytes) -> list[Peer]:
        """Forget all clients at ``address``; return them."""
        gone = self.at(address)
        self.foreign.pop(address, None)
        self.native.pop(address, None)
        return gone

    def foreign_peer(self, address: bytes, return_path: ReturnPath) -> ForeignPeer:
        """Return the client of another dialect that has this return path, new or known."""
        peers = self.foreign.setdefault(address, {})
        peer = peers.get(return_path.envelope)
        if peer is None:
            connection = next((other.connection for other in peers.values()), None)
            peer = ForeignPeer(self, self._outbox, address, return_path, self._takes, connection)
            peers[return_path.envelope] = peer
        return peer

    def forget_peer(self, peer: ForeignPeer) -> None:
        """Forget a client that is known only while it has calls in flight."""
        peers = self.foreign.get(peer.address, {})
        peers.pop(peer.envelope, None)
        if not peers:
            self.foreign.pop(peer.address, None)
