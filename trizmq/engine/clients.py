"""The clients that the broker knows: native ones by their hello, others while they call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..names import label
from ..wire.items import VERSION, Goaway, Heartbeat, Hello
from .bounds import narrower
from .records import Peer

if TYPE_CHECKING:
    from ..wire.return_path import ReturnPath
    from .limits import Limits
    from .outbox import Outbox

__all__ = ["Clients"]

#: As much as is kept of what a client calls itself: it is kept as long as the client stays.
MAX_INSTANCE: Final = 64


@final
class Clients:
    """A registry, and the heartbeats to native clients."""

    def __init__(self, limits: Limits, outbox: Outbox, *, instance: str) -> None:
        self.native: dict[bytes, Peer] = {}
        self.foreign: dict[bytes, dict[tuple[bytes, ...], Peer]] = {}
        self.next_heartbeat = float("inf")
        self._interval = limits.heartbeat
        self._outbox = outbox
        self._takes = limits.takes
        self._hello = Hello(VERSION, instance, limits.client_calls, takes=self._takes)

    def greet(self, address: bytes, hello: Hello, now: float) -> Peer | None:
        """Answer the hello of a new native client; return it, None if it cannot stay."""
        if hello.version != VERSION:
            self._outbox.say(address, Goaway("version"))
            return None
        if not self.native:
            self.next_heartbeat = now + self._interval
        peer = self.native[address] = Peer(address, label(hello.instance, MAX_INSTANCE))
        peer.takes = narrower(hello.takes, self._takes)
        self.say_hello(address)
        return peer

    def message_bytes(self, address: bytes) -> int:
        """Return how large a message to the native client at ``address`` may be."""
        peer = self.native.get(address)
        takes = self._takes if peer is None or peer.takes is None else peer.takes
        return takes.message_bytes

    def say_hello(self, address: bytes) -> None:
        """Tell a native client who we are, and how much we take."""
        self._outbox.say(address, self._hello)

    def foreign_peer(self, address: bytes, return_path: ReturnPath) -> Peer:
        """Return the client of another dialect that calls by ``return_path``."""
        peers = self.foreign.setdefault(address, {})
        peer = peers.get(return_path.envelope)
        if peer is None:
            peer = Peer(address, return_path.dialect, return_path.envelope)
            for other in peers.values():
                peer.connection = other.connection
                break
            peers[return_path.envelope] = peer
        return peer

    def forget_if_idle(self, peer: Peer) -> None:
        """Forget a client that never said hello, and has no call in flight any more."""
        if peer.envelope is None or peer.flights:
            return
        peers = self.foreign.get(peer.address, {})
        peers.pop(peer.envelope, None)
        if not peers:
            self.foreign.pop(peer.address, None)

    def forget(self, address: bytes) -> list[Peer]:
        """Forget everybody at ``address``; return who that was."""
        gone = list(self.foreign.pop(address, {}).values())
        if address in self.native:
            gone.append(self.native.pop(address))
        return gone

    def all(self) -> list[Peer]:
        """Return every client."""
        foreign = [peer for peers in self.foreign.values() for peer in peers.values()]
        return [*self.native.values(), *foreign]

    def say_to_all(self, goaway: Goaway) -> None:
        """Tell every native client."""
        for address in self.native:
            self._outbox.say(address, goaway)

    def tick(self, now: float) -> None:
        """Say that we live to who has heard nothing for a while."""
        if now < self.next_heartbeat:
            return
        for peer in self.native.values():
            if not peer.was_told:
                self._outbox.say(peer.address, Heartbeat())
            peer.was_told = False
        self.next_heartbeat = now + self._interval if self.native else float("inf")
