"""The broker's clients: who is connected, who is away, and what is kept for them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

import msgspec

from ..bounds import narrower
from ..deadlines import NEVER
from ..names import label
from ..wire.items import VERSION, Goaway, Heartbeat, Hello, Part, Response, frames_of
from .calls import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..limits import Limits
    from ..wire.items import Item
    from ..wire.return_path import ReturnPath
    from .outbox import Counters, Outbox

__all__ = ["Absence", "Clients"]


#: As much as is kept of what a client calls itself: it is kept as long as the client stays.
MAX_INSTANCE: Final = 64

#: A native client may have a quarter of its bytes on the way to us, and is told when we have read
#: a quarter of that.
WINDOWS: Final = 4


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
        window = limits.client_bytes // WINDOWS
        self._read_bytes = window // WINDOWS
        self._hello = Hello(
            VERSION, instance, limits.client_calls, takes=self._takes, window=window
        )

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

    def note_read(self, peer: Peer, size: int) -> None:
        """Count what was read of a native client's large messages; tell it now and then."""
        peer.read += size
        if peer.read >= self._read_bytes:
            peer.read = 0
            peer.was_told = True
            self._outbox.say(peer.address, Heartbeat(peer.seen))

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


#: How long their calls go on, in seconds.
PATIENCE: Final = 2.0


#: What an item costs beside its body.
OVERHEAD: Final = 512


#: As many keys of clients that were given up are kept, with what was seen of their calls.
MAX_REMEMBERED: Final = 1024


@final
class Absence:
    """Keeps what is said to clients that are away, within ``max_bytes`` for all of them.

    A client that has not come back in time is given up, and its calls with it. What stays is
    which of them were looked at: of those that were not, it may be told so for long.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        # In the order in which they are given up.
        self._until: dict[Peer, float] = {}
        self._kept: dict[Peer, list[Item]] = {}
        self._seen: OrderedDict[str, int] = OrderedDict()

    def begin(self, peer: Peer, now: float) -> None:
        """Note that the connection of ``peer`` has ended."""
        if peer not in self._until:
            self._until[peer] = now + PATIENCE
            self._kept[peer] = []

    def keep(self, peer: Peer, items: Iterable[Item]) -> None:
        """Keep what could not be sent, if there is room; else its calls count as lost."""
        for item in items:
            if isinstance(item, Response | Part):
                size = _size_of(item)
                if self._bytes + size <= self._max_bytes:
                    self._bytes += size
                    self._kept[peer].append(item)

    def end(self, peer: Peer) -> list[Item]:
        """Note that ``peer`` is back, or was given up; return what was kept for it."""
        self._until.pop(peer, None)
        kept = self._kept.pop(peer, [])
        self._bytes -= sum(map(_size_of, kept))
        return kept

    def remember(self, peer: Peer) -> None:
        """Keep in mind which calls of ``peer``, which is given up, were looked at."""
        if peer.key:
            self._seen[peer.key] = peer.seen
            if len(self._seen) > MAX_REMEMBERED:
                self._seen.popitem(last=False)

    def recall(self, key: str) -> int | None:
        """Return the highest id that was seen of a client that was given up."""
        return self._seen.pop(key, None)

    @property
    def next_tick(self) -> float:
        """When to ask `due` again, at the latest."""
        return next(iter(self._until.values())) if self._until else NEVER

    def due(self, now: float) -> list[Peer]:
        """Return those that have been away for too long."""
        return [peer for peer, until in self._until.items() if until <= now]


def _size_of(item: Item) -> int:
    return OVERHEAD + sum(map(len, frames_of(item.body)))
