"""The broker's clients: ports by which it answers them, and what is kept for those away."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from ..deadlines import NEVER
from ..names import label
from ..wire.items import MAX_BODY_FRAMES, Part, Response, frames_of
from ..wire.return_path import PLAIN
from .queues import Connection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..wire.items import Body, Item, Takes
    from ..wire.return_path import ReturnPath
    from .outbox import Outbox, SocketOutbox

__all__ = ["PATIENCE", "Absence", "ForeignPeer", "LocalPeer", "NativePeer", "Peer"]

#: As much as is kept of what a client calls itself: it is kept as long as the client stays.
MAX_INSTANCE: Final = 64

#: How long the calls of a client go on that is away, in seconds.
PATIENCE: Final = 2.0

#: What an item costs beside its body.
OVERHEAD: Final = 512

#: As many keys of clients that were given up are kept, with what was seen of their calls.
MAX_REMEMBERED: Final = 1024


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
      read: how many bytes were read since a heartbeat has told it which calls were looked at.
      was_told: something was sent to it since the last heartbeat was due.

    """

    def __init__(
        self, outbox: SocketOutbox, address: bytes, instance: str, takes: Takes, key: str
    ) -> None:
        super().__init__("native", label(instance, MAX_INSTANCE), takes)
        self.is_checked = False
        self.address = address
        self.key = key
        self.read = 0
        self.was_told = False
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
        self.was_told = True
        self._outbox.say(self.address, Part(flight.id, flight.parts, body))
        flight.parts += 1
        flight.sent += size
        return None

    def end(self, item: Response, return_path: ReturnPath | None) -> None:
        self.was_told = True
        self._outbox.say(self.address, item)


class _Frontend(Protocol):
    outbox: SocketOutbox

    def forget_peer(self, peer: ForeignPeer) -> None: ...


@final
class ForeignPeer(Peer):
    """A client of another dialect. It is known while it has calls in flight.

    Behind one routing id there may be a queue device with many clients: ``envelope`` tells them
    apart.
    """

    def __init__(
        self,
        frontend: _Frontend,
        address: bytes,
        return_path: ReturnPath,
        takes: Takes,
        connection: Connection | None,
    ) -> None:
        dialect = return_path.dialect
        super().__init__(dialect, dialect, takes, connection)
        self.pipelines = dialect != PLAIN
        self.address = address
        self.envelope = return_path.envelope
        self._outbox = frontend.outbox
        self._frontend = frontend

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
            self._frontend.forget_peer(self)


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
class Absence:
    """Keeps what is sent to clients that are away, within ``max_bytes`` for all of them.

    A client that has not come back in time is given up, and its calls with it. What stays is
    which of them were looked at: of those that were not, it may be told so for long.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        # In the order in which they are given up.
        self._until: dict[NativePeer, float] = {}
        self._kept: dict[NativePeer, list[Item]] = {}
        self._seen: OrderedDict[str, int] = OrderedDict()

    def begin(self, peer: NativePeer, now: float) -> None:
        """Note that the connection of ``peer`` has ended."""
        if peer not in self._until:
            self._until[peer] = now + PATIENCE
            self._kept[peer] = []

    def keep(self, peer: NativePeer, items: Iterable[Item]) -> None:
        """Keep what could not be sent, if there is room; else its calls count as lost."""
        for item in items:
            if isinstance(item, Response | Part):
                size = _size_of(item)
                if self._bytes + size <= self._max_bytes:
                    self._bytes += size
                    self._kept[peer].append(item)

    def end(self, peer: NativePeer) -> list[Item]:
        """Note that ``peer`` is back, or was given up; return what was kept for it."""
        self._until.pop(peer, None)
        kept = self._kept.pop(peer, [])
        self._bytes -= sum(map(_size_of, kept))
        return kept

    def remember(self, peer: NativePeer) -> None:
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

    def due(self, now: float) -> list[NativePeer]:
        """Return those that have been away for too long."""
        return [peer for peer, until in self._until.items() if until <= now]


def _size_of(item: Item) -> int:
    return OVERHEAD + sum(map(len, frames_of(item.body)))
