"""The clients that the broker knows: native ones by their hello, others while they call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import msgspec

from ..names import label
from ..wire.items import VERSION, Goaway, Heartbeat, Hello, Response
from .absence import Absence
from .bounds import narrower
from .records import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..wire.items import Item
    from ..wire.return_path import ReturnPath
    from .counters import Counters
    from .limits import Limits
    from .outbox import Outbox

__all__ = ["Clients"]

#: As much as is kept of what a client calls itself: it is kept as long as the client stays.
MAX_INSTANCE: Final = 64


@final
class Clients:
    """A registry, and the heartbeats to native clients."""

    def __init__(
        self, limits: Limits, counters: Counters, outbox: Outbox, *, instance: str
    ) -> None:
        self.native: dict[bytes, Peer] = {}
        self.foreign: dict[bytes, dict[tuple[bytes, ...], Peer]] = {}
        self.next_heartbeat = float("inf")
        self._by_key: dict[str, Peer] = {}
        self._absence = Absence(limits.client_bytes)
        self._interval = limits.heartbeat
        self._counters = counters
        self._outbox = outbox
        self._takes = limits.takes
        self._hello = Hello(VERSION, instance, limits.client_calls, takes=self._takes)

    def greet(self, address: bytes, hello: Hello, now: float) -> Peer | None:
        """Answer the hello on a new connection; return the client, None if it cannot stay."""
        if hello.version != VERSION:
            self._outbox.say(address, Goaway("version"))
            return None
        if not self.native:
            self.next_heartbeat = now + self._interval
        peer = self._by_key.get(hello.key)
        if peer is None:
            peer = Peer(address, label(hello.instance, MAX_INSTANCE), key=hello.key)
            peer.seen = self._seen_of(hello)
        else:
            # The connection before may not be known to have ended: what still comes on it is
            # a stranger's from now on.
            self.native.pop(peer.address, None)
            peer.address = address
        peer.takes = narrower(hello.takes, self._takes)
        self.native[address] = peer
        if hello.key:
            self._by_key[hello.key] = peer
        self._resume(peer, hello)
        return peer

    def message_bytes(self, address: bytes) -> int:
        """Return how large a message to the native client at ``address`` may be."""
        peer = self.native.get(address)
        takes = self._takes if peer is None or peer.takes is None else peer.takes
        return takes.message_bytes

    def _seen_of(self, hello: Hello) -> int:
        """Return which calls of a client were looked at that is not known any more."""
        seen = self._absence.recall(hello.key)
        if seen is None and hello.resumes == self._hello.instance:
            seen = max(hello.in_flight, default=0)  # any of them may have been
        return seen or 0

    def _resume(self, peer: Peer, hello: Hello) -> None:
        """Say hello, what of the client's calls has become of nothing, and what it has missed."""
        kept = self._absence.end(peer)
        if hello.resumes != self._hello.instance:
            self.say_hello(peer.address)
            return
        answered = {item.id for item in kept if isinstance(item, Response)}
        lost = [
            one
            for one in hello.in_flight
            if one <= peer.seen and one not in peer.flights and one not in answered
        ]
        answer = msgspec.structs.replace(self._hello, seen=peer.seen, lost=tuple(lost))
        self._outbox.say(peer.address, answer)
        for item in kept:
            self._outbox.say(peer.address, item)

    def say_hello(self, address: bytes) -> None:
        """Tell a native client who we are, and how much we take."""
        self._outbox.say(address, self._hello)

    def miss(self, address: bytes, items: Iterable[Item], now: float) -> bool:
        """Keep what a client was to be told that is not connected; return False for a stranger."""
        peer = self.native.get(address)
        if peer is None or not peer.key:
            return False
        self._absence.begin(peer, now)
        self._absence.keep(peer, items)
        return True

    def overdue(self, now: float) -> list[Peer]:
        """Return the clients that have been away for too long."""
        return self._absence.due(now)

    @property
    def next_tick(self) -> float:
        """When to ask `overdue`, or call `tick`, at the latest."""
        return min(self.next_heartbeat, self._absence.next_tick)

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

    def at(self, address: bytes) -> list[Peer]:
        """Return every client at ``address``."""
        there = list(self.foreign.get(address, {}).values())
        if address in self.native:
            there.append(self.native[address])
        return there

    def forget(self, address: bytes) -> list[Peer]:
        """Forget everybody at ``address``; return who that was."""
        gone = list(self.foreign.pop(address, {}).values())
        if address in self.native:
            peer = self.native.pop(address)
            self._by_key.pop(peer.key, None)
            self._counters.gone += len(self._absence.end(peer))
            self._absence.remember(peer)
            gone.append(peer)
        return gone

    def all(self) -> list[Peer]:
        """Return every client."""
        foreign = [peer for peers in self.foreign.values() for peer in peers.values()]
        return [*self.native.values(), *foreign]

    def say_to_all(self, goaway: Goaway) -> None:
        """Tell every native client."""
        for address in self.native:
            self._outbox.say(address, goaway)

    def say_goodbye(self) -> None:
        """Tell every native client which of its calls were not looked at, and never will be."""
        for peer in self.native.values():
            self._outbox.say(peer.address, Goaway("closing", peer.seen))

    def tick(self, now: float) -> None:
        """Say that we live to who has heard nothing for a while."""
        if now < self.next_heartbeat:
            return
        for peer in self.native.values():
            if not peer.was_told:
                self._outbox.say(peer.address, Heartbeat())
            peer.was_told = False
        self.next_heartbeat = now + self._interval if self.native else float("inf")
