"""What the broker knows of: peers (clients), services, workers, and the calls in flight."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

import msgspec

from ..wire.items import Call, frames_of

if TYPE_CHECKING:
    from ..wire.return_path import ReturnPath
    from .limits import Limits

__all__ = ["Flight", "Peer", "RequestQueue", "Service", "Worker", "find_oversize", "size_of"]

#: What a call costs beside its bytes; no call is free in a queue bounded in bytes.
OVERHEAD: Final = 512


class Peer(msgspec.Struct, eq=False):
    """A client, and its calls in flight by id (its own ids, if it is native).

    ``address`` is the routing id. Behind one that is not native there may be a queue device
    with many clients: ``envelope`` tells them apart. A native peer has none: it said hello,
    reads batches, and hears heartbeats.
    """

    address: bytes
    instance: str
    envelope: tuple[bytes, ...] | None = None
    flights: dict[int, Flight] = msgspec.field(default_factory=dict)
    queued_bytes: int = 0
    #: Something was sent to it since the last heartbeat was due.
    was_told: bool = False


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
        # Ordered dicts, because a call can leave from anywhere in its line, and at once:
        # were it only marked, a client that calls and cancels could fill the memory.
        self._lines: OrderedDict[Peer, OrderedDict[Flight, None]] = OrderedDict()
        self.count = 0
        self.bytes = 0

    def push(self, flight: Flight) -> None:
        """Put ``flight`` at the end of its client's line."""
        self._lines.setdefault(flight.peer, OrderedDict())[flight] = None
        self.count += 1
        self.bytes += flight.size
        flight.peer.queued_bytes += flight.size

    def pop(self) -> Flight | None:
        """Take the first call of the client whose turn it is, or None."""
        if not self._lines:
            return None
        peer = next(iter(self._lines))
        self._lines.move_to_end(peer)
        flight = next(iter(self._lines[peer]))
        self.leave(flight)
        return flight

    def leave(self, flight: Flight) -> None:
        """Take out a call that was pushed: it is dispatched, or has ended."""
        line = self._lines[flight.peer]
        del line[flight]
        if not line:
            del self._lines[flight.peer]
        self.count -= 1
        self.bytes -= flight.size
        flight.peer.queued_bytes -= flight.size


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
    fields = sum(len(name) + len(value) for name, value in call.headers.items())
    return OVERHEAD + len(call.method) + len(call.target) + fields + _body_size(call)


def find_oversize(call: Call, limits: Limits) -> tuple[int, str] | None:
    """Hold ``call`` against the limits on its parts; return (status, detail), or None."""
    if len(call.method) + len(call.target) > limits.target_bytes:
        return 414, f"method and path are longer than {limits.target_bytes} bytes"
    if _body_size(call) > limits.body_bytes:
        return 413, f"the body is larger than {limits.body_bytes} bytes"
    sizes = [len(name) + len(value) for name, value in call.headers.items()]
    if len(sizes) > limits.header_fields:
        return 431, f"more than {limits.header_fields} header fields"
    if max(sizes, default=0) > limits.header_bytes:
        return 431, f"a header field is larger than {limits.header_bytes} bytes"
    if sum(sizes) > limits.headers_bytes:
        return 431, f"the header fields are larger than {limits.headers_bytes} bytes"
    return None


def _body_size(call: Call) -> int:
    return sum(map(len, frames_of(call.body)))
