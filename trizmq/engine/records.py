"""What the broker knows of: peers (clients), services, workers, and the calls in flight."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ..wire.items import Body, Call, frames_of

if TYPE_CHECKING:
    from ..wire.dialects import ReturnPath

__all__ = ["Flight", "Peer", "PeerKey", "RequestQueue", "Service", "Worker", "size_of"]

#: A native client's routing id; of another dialect, also the envelope: behind one
#: connection there may be a queue device with many clients.
PeerKey: TypeAlias = "bytes | tuple[bytes, tuple[bytes, ...]]"

#: What a call costs beside its bytes; no call is free in a queue bounded in bytes.
OVERHEAD: Final = 512


class Peer(msgspec.Struct, eq=False):
    """A client, and its calls in flight by its own ids."""

    key: PeerKey
    instance: str
    flights: dict[int, Flight] = msgspec.field(default_factory=dict)
    queued_bytes: int = 0
    #: Something was sent to it since the last heartbeat was due.
    was_told: bool = False

    @property
    def is_native(self) -> bool:
        """Whether it said hello, reads batches, and hears heartbeats."""
        return isinstance(self.key, bytes)


class Flight(msgspec.Struct, eq=False):
    """One call in flight, from the broker's reading it to its end.

    Queued while ``worker`` is None. When it has ``ended`` its caller has had its outcome;
    the worker may still be busy with it, and says so by `Broker.finish`.
    """

    peer: Peer
    call: Call
    deadline: float
    service: Service
    return_path: ReturnPath | None = None
    worker: Worker | None = None
    ended: bool = False
    size: int = 0

    @property
    def request_id(self) -> str:
        """The caller's ``x-request-id``, or a name for this call: instance and id."""
        given = self.call.headers.get("x-request-id") if self.call.headers else None
        return given or f"{self.peer.instance}-{self.call.id}"


class Worker(msgspec.Struct, eq=False):
    """Who does the work of some services, so many calls at once."""

    services: tuple[str, ...]
    capacity: int
    busy: int = 0

    @property
    def has_room(self) -> bool:
        """Whether it can take one call more."""
        return self.busy < self.capacity


class RequestQueue:
    """Calls that wait for a worker: fair to clients, first in first out for each.

    One client with a thousand calls delays another's single call by one call, not by a
    thousand (RFC 7: the broker SHOULD be fair).
    """

    def __init__(self) -> None:
        self._lines: dict[PeerKey, deque[Flight]] = {}  # in the order of whose turn it is
        self.count = 0
        self.bytes = 0

    def push(self, flight: Flight) -> None:
        """Put ``flight`` at the end of its client's line."""
        self._lines.setdefault(flight.peer.key, deque()).append(flight)
        self.count += 1
        self.bytes += flight.size
        flight.peer.queued_bytes += flight.size

    def pop(self) -> Flight | None:
        """Take the next call whose caller still waits, or None."""
        while self._lines:
            key = next(iter(self._lines))
            line = self._lines.pop(key)
            flight = line.popleft()
            if line:
                self._lines[key] = line
            if not flight.ended:
                self.leave(flight)
                return flight
        return None

    def leave(self, flight: Flight) -> None:
        """Give back the room of a call that is taken or has ended; its place goes lazily."""
        self.count -= 1
        self.bytes -= flight.size
        flight.peer.queued_bytes -= flight.size
        if not self.count:
            self._lines.clear()


class Service:
    """A name, the workers that have announced it, and the calls that wait for one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue = RequestQueue()
        self.in_flight = 0
        self._workers: deque[Worker] = deque()

    @property
    def workers(self) -> int:
        """How many workers offer it, busy ones included."""
        return len(self._workers)

    def join(self, worker: Worker) -> None:
        """Add a worker."""
        self._workers.append(worker)

    def pick(self) -> Worker | None:
        """Return the least recently picked worker that has room, or None."""
        workers = self._workers
        for _ in range(len(workers)):
            worker = workers[0]
            workers.rotate(-1)
            if worker.has_room:
                return worker
        return None


def size_of(call: Call) -> int:
    """Return about how many bytes ``call`` keeps while it waits."""
    return OVERHEAD + len(call.target) + _headers_size(call) + body_size(call.body)


def body_size(body: Body) -> int:
    """Return the bytes of a decoded body."""
    return len(body) if isinstance(body, bytes) else sum(map(len, frames_of(body)))


def _headers_size(call: Call) -> int:
    return sum(len(name) + len(value) for name, value in call.headers.items())
