"""What engines know of: peers (clients), workers, and the calls in hand."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, final

from ..messages import IDEMPOTENT_METHODS
from .lag import Lag
from .queues import RequestQueue

if TYPE_CHECKING:
    from ..messages import Principal
    from ..wire.items import Body, Call, Takes
    from ..wire.return_path import ReturnPath
    from .crews import Crew
    from .services import Service

__all__ = ["LOCAL", "NATIVE", "Connection", "Flight", "Peer", "Token", "Work", "Worker"]

#: What a worker speaks that is in the broker's own process: function calls.
LOCAL: Final = "local"
NATIVE: Final = "native"

#: What a worker knows a call by: an id in the native dialect; in MDP a client address that
#: was minted for this one dispatch, so that a routing id is never seen, nor of use.
Token: TypeAlias = int | bytes


@final
@dataclass(eq=False)
class Connection:
    """What all clients behind one routing id have together: they share its bounds, and its turn."""

    calls: int = 0
    queued_bytes: int = 0
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
    #: By which a native client is known again when it has a new connection.
    key: str = ""
    #: The highest id of its calls that was looked at.
    seen: int = 0

    @property
    def queued_bytes(self) -> int:
        """About how many bytes the calls keep that wait, of everybody on its connection."""
        return self.connection.queued_bytes


class Work:
    """A call in hand, with what its item said: read once, for a field of ours costs less.

    Attributes:
      id: its client's, or the broker's for its worker.
      principal: who calls, if that is known.
      deadline: on Trio's clock.
      request_id: the caller's ``x-request-id``, or a name that was made for this call.
      ended: its caller has had its outcome, or has gone.

    """

    # Written out, not a dataclass, as are those below: one is made for each call.
    def __init__(self, call: Call, deadline: float, name: str) -> None:
        headers = call.headers
        self.id = call.id
        self.method = call.method
        self.target = call.target
        self.headers = headers
        self.body: Body = call.body
        self.principal: Principal | None = None
        self.deadline = deadline
        self.request_id = headers.get("x-request-id") or name
        self.ended = False


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
        super().__init__(call, deadline, f"{peer.instance}-{call.id}")
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


@final
@dataclass(eq=False)
class Worker:
    """Who does the work of some services, so many calls at once."""

    services: tuple[str, ...]
    capacity: int
    name: str = LOCAL
    dialect: str = LOCAL
    #: The routing id on the backend; None of the local worker.
    address: bytes | None = None
    #: Those of the services that have public routes.
    public: frozenset[str] = frozenset()
    #: Its routes, for people: ``"GET /users/{user_id:int}"``.
    routes: tuple[str, ...] = ()
    busy: int = 0
    #: What it has in hand, by token, if it is on the backend.
    flights: dict[Token, Flight] = field(default_factory=dict)
    #: Calls that wait for this worker and no other.
    queue: RequestQueue = field(default_factory=RequestQueue)
    is_leaving: bool = False
    heard_at: float = 0.0
    was_told: bool = False
    #: It was seen to send heartbeats while it had a call: then their lack means something.
    beats_while_busy: bool = False
    #: Heartbeats since it was given the call that it has, in MDP.
    beats: int = 0
    #: It has just sent a FINAL: one stray PARTIAL behind it is forgiven.
    may_stray: bool = False
    #: How large may be what it is sent, if that is less than what we take.
    takes: Takes | None = None
    #: Header fields of a call of its that are as they have to be.
    headers: dict[str, str] = field(default_factory=dict)
    #: Those that offer the same services.
    crew: Crew | None = None
    #: Where its crew keeps it: by how many calls it has; -1 if it has no room.
    level: int = -1
    #: It was silent for so long that others are given calls first.
    is_quiet: bool = False
    #: It is given nothing, because it has a suspect, or is to have one when it is empty.
    is_reserved: bool = False
    #: Bytes of the bodies that it was given, and the most that it is given.
    held: int = 0
    most_held: int = 64 * 1024 * 1024
    #: How many calls it may have now: it came while many waited, and others may be coming.
    window: int = sys.maxsize

    @property
    def has_room(self) -> bool:
        """Whether it can take one call more."""
        return (
            self.busy < self.capacity
            and not self.is_leaving
            and not self.is_reserved
            and self.busy < self.window
            and self.held < self.most_held
        )
