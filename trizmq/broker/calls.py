"""What the broker knows of its clients and of the calls in flight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, final

from ..calls import Work
from ..deadlines import Lag
from ..messages import IDEMPOTENT_METHODS

if TYPE_CHECKING:
    from ..wire.items import Call, Takes
    from ..wire.return_path import ReturnPath
    from .queues import RequestQueue
    from .services import Service
    from .workers import Worker

__all__ = ["Connection", "Flight", "Peer", "Token"]


#: What a worker knows a call by: an id in the native dialect; in MDP a client address that
#: was minted for this one dispatch, so that a routing id is never seen, nor of use.
Token: TypeAlias = int | bytes


@final
@dataclass(eq=False)
class Connection:
    """What all clients behind one routing id have together: they share its bounds, and its turn."""

    calls: int = 0
    queued_bytes: int = 0
    #: Bytes of the bodies of its calls that wait, or that workers were given.
    held: int = 0
    lag: Lag = field(default_factory=Lag)


@final
@dataclass(eq=False)
class Peer:
    """A client, and its calls in flight by id (its own ids, if it is native).

    ``address`` is the routing id. Behind one that is not native there may be a queue device
    with many clients: ``envelope`` tells them apart. A native peer has none: it said hello,
    reads batches, and hears heartbeats.
    """

    address: bytes
    instance: str
    envelope: tuple[bytes, ...] | None = None
    flights: dict[int, Flight] = field(default_factory=dict)
    connection: Connection = field(default_factory=Connection)
    #: Something was sent to it since the last heartbeat was due.
    was_told: bool = False
    #: How large may be what it is sent, if that is less than what we take.
    takes: Takes | None = None
    #: Header fields of a call of its that are as they have to be.
    headers: dict[str, str] = field(default_factory=dict)
    #: How its last call's path began, and of which service that is.
    service_path: str = "//"
    service_name: str = ""
    #: By which a native client is known again when it has a new connection.
    key: str = ""
    #: The highest id of its calls that was looked at, and how many bytes were read since a
    #: heartbeat has told it so.
    seen: int = 0
    read: int = 0

    @property
    def queued_bytes(self) -> int:
        """About how many bytes the calls keep that wait, of everybody on its connection."""
        return self.connection.queued_bytes


@final
class Flight(Work):
    """One call in flight, from the broker's reading it to its end.

    When it has ``ended`` its caller has had its outcome;
    the worker may still be busy with it, and says so by `Broker.finish`.

    Attributes:
      attempts: how often it was given to a worker.
      deaths: how often the worker was lost that had it.
      given_at: when it was given to its worker.
      is_measured: how long its worker has it counts.
      held: bytes of its body, as long as they are counted.
      is_queued: it waits for a worker.
      parts: how many parts of its response its caller has been sent.
      sent: how many bytes these have.
      gathered: parts that wait for the end.
      wanted: the one worker that may have it, if a hook has said so.

    """

    def __init__(
        self,
        peer: Peer,
        call: Call,
        deadline: float,
        service: Service,
        return_path: ReturnPath | None = None,
    ) -> None:
        super().__init__(call, deadline, "")
        if not self.request_id:
            self.request_id = f"{peer.instance}-{self.id}"
        self.peer = peer
        self.service = service
        self.return_path = return_path
        self.worker: Worker | None = None
        self.size = 0
        self.token: Token = 0
        self.attempts = 0
        self.deaths = 0
        self.given_at = 0.0
        self.is_measured = False
        self.held = 0
        self.is_queued = False
        self.parts = 0
        self.sent = 0
        self.gathered: list[bytes] = []
        self.wanted: Worker | None = None

    @property
    def may_be_repeated(self) -> bool:
        """Whether a second worker may be given it: it is idempotent, and nothing was sent."""
        is_idempotent = self.method in IDEMPOTENT_METHODS or "idempotency-key" in self.headers
        return is_idempotent and not self.parts

    @property
    def is_local(self) -> bool:
        """Whether the worker of this process was given it."""
        return self.worker is not None and self.worker.address is None

    @property
    def queue(self) -> RequestQueue:
        """Where it waits for a worker."""
        return self.service.queue if self.wanted is None else self.wanted.queue
