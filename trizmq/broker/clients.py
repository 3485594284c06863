"""The broker's clients: the ports by which it answers them, and those of one socket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, final

from ..name_rules import label
from ..wire.items import MAX_BODY_FRAMES, Part, Response, frames_of
from .queues import Connection

if TYPE_CHECKING:
    from ..wire.items import Body, Takes
    from ..wire.return_path import ReturnPath
    from .outbox import Outbox, SocketOutbox

__all__ = ["Clients", "ForeignPeer", "LocalPeer", "NativePeer", "Peer"]

#: As much as is kept of what a client calls itself: it is kept as long as the client stays.
MAX_INSTANCE: Final = 64


class Peer(ABC):
    """A port by which the broker reaches one client.

    The calls are `calls.Flight`; they are `Any` here because a flight knows its client, and
    imports run one way.

    Attributes:
      dialect: what it speaks, for people and hooks: ``"native"``, ``"mdp01"``, ``"plain"`` ...
      instance: what its calls are named after.
      connection: what it shares with all clients behind the same routing id.
      flights: its calls in flight, by id.
      takes: how large a response may be.
      is_checked: whether the names in its calls are in their normal form already.
      pipelines: whether it takes each response for the next one that it waits for, and tells
        no deadlines, as MDP clients do.
      seen: the id of the last call that was looked at.
      headers: header fields of a call of its that are as they have to be.
      service_path: how its last call's path began; ``service_name``: of which service that is.

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
        """Whether it does not read what it asked for."""
        return False

    @abstractmethod
    def part(self, flight: Any, body: Body) -> str | None:
        """Send a part of a response, or keep it; return what is wrong with its size, or None."""

    @abstractmethod
    def end(self, item: Response, return_path: ReturnPath | None) -> None:
        """Send the end of a call. ``return_path``: the way that its dialect needs, if any."""

    def forget_if_idle(self) -> None:  # noqa: B027 (most are known for longer)
        """Forget it, if it is known only while it has calls in flight and has none."""


@final
class NativePeer(Peer):
    """A client that said hello, reads batches, and gets heartbeats.

    Attributes:
      address: its routing id now.
      key: it is known again by this when it has a new connection.
      read: how many bytes were read since the last heartbeat that named the calls looked at.
      spoken_to: something was sent to it since the last heartbeat was due.

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

    def part(self, flight: Any, body: Body) -> str | None:
        size = sum(map(len, frames_of(body)))
        # Our clients gather the parts, so that all of them are one body.
        if size + flight.sent > self.takes.body_bytes:
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
    """A client of another dialect. It is known while it has calls in flight.

    Behind one routing id there may be a queue device with many clients: ``envelope`` tells them
    apart.
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

    def part(self, flight: Any, body: Body) -> str | None:
        return _gather(flight, body, self.takes.body_bytes)

    def end(self, item: Response, return_path: ReturnPath | None) -> None:
        self._outbox.answered.append((self, item))


def _gather(flight: Any, body: Body, most: int) -> str | None:
    """Keep a part for the end of its call; return what is wrong with the size, or None."""
    gathered: list[bytes] = flight.gathered
    gathered += frames_of(body)
    # Their number too: an empty frame costs memory, and counting all of them time.
    if len(gathered) >= MAX_BODY_FRAMES or sum(map(len, gathered)) > most:
        return f"its parts are too many, or larger than {most} bytes"
    return None


@final
class Clients:
    """The clients at one socket: those that said hello, and others while they have calls."""

    def __init__(self, outbox: SocketOutbox, takes: Takes) -> None:
        self.native: dict[bytes, NativePeer] = {}
        self.foreign: dict[bytes, dict[tuple[bytes, ...], ForeignPeer]] = {}
        self._outbox = outbox
        self._takes = takes

    @property
    def count(self) -> int:
        """How many native clients are connected, and others have calls in flight."""
        return len(self.native) + len(self.foreign)

    def all(self) -> list[Peer]:
        """Return every client."""
        foreign = [peer for peers in self.foreign.values() for peer in peers.values()]
        return [*self.native.values(), *foreign]

    def at(self, address: bytes) -> list[Peer]:
        """Return every client at ``address``."""
        there: list[Peer] = list(self.foreign.get(address, {}).values())
        if address in self.native:
            there.append(self.native[address])
        return there

    def forget(self, address: bytes) -> list[Peer]:
        """Forget every client at ``address``; return them."""
        gone = self.at(address)
        self.foreign.pop(address, None)
        self.native.pop(address, None)
        return gone

    def foreign_peer(self, address: bytes, return_path: ReturnPath) -> ForeignPeer:
        """Return the client of another dialect that calls by ``return_path``."""
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
