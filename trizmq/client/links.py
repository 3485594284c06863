"""The client's links, one for each broker endpoint, and the calls that are sent on them."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, final

from ..bounds import UNBOUNDED, sane, small_of
from ..messages import IDEMPOTENT_METHODS
from ..wire.items import DEFAULT_TAKES, Call, frames_of
from ..wire.native import LARGE, TOGETHER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .. import messages
    from ..errors import TrizmqError
    from ..wire.items import Body, Headers, Item, Takes
    from .parts import Inflow, Parts

__all__ = [
    "MAX_WAITING",
    "MAX_WAITING_BYTES",
    "SMALL",
    "Link",
    "LinkState",
    "Pending",
    "WaitingCalls",
    "nobody",
]

#: A name in this module, which compiled code finds faster than a lookup for each call.
_CALL: Final = Call

#: The equivalent of `Link.small` for the default limits.
SMALL: Final = small_of(DEFAULT_TAKES)

#: The weight of a call that was not weighed, so that it is always checked.
UNKNOWN_WEIGHT: Final = 1 << 40


#: The maximum number of waiting calls, and the maximum size of all their bodies.
MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024


def nobody() -> None:
    """Do nothing: the waiter of a call while its caller does not wait."""


class LinkState(Enum):
    """The state of the connection to one broker endpoint.

    ==========  =================================  ======================================
    state       entered when                       left when
    ==========  =================================  ======================================
    CONNECTING  there is no connection             a connection is made: GREETING
    GREETING    our hello has been sent            the broker sends its hello: READY
    READY       the broker has sent its hello      goaway: DRAINING
    DRAINING    the broker accepts no more calls   (when it has ended)
    REFUSED     goaway: another version, or port   (when it has ended)
    ==========  =================================  ======================================

    From every state, the end of the connection leads to CONNECTING, and nothing else does: a
    broker that is busy, and silent for a while, still exists.
    """

    CONNECTING = auto()
    GREETING = auto()
    READY = auto()
    DRAINING = auto()
    REFUSED = auto()


@final
@dataclass(eq=False)
class Link:
    """One connection to one broker endpoint, followed by the next one."""

    endpoint: str
    #: The secret by which the broker recognizes us on the next connection.
    key: str
    state: LinkState = LinkState.CONNECTING
    #: The number of calls that the broker accepts from us at once; further calls wait.
    credit: int = 0
    #: The calls that were sent here, by id, which increases. They stay while there is no
    #: connection, until their fate is known.
    in_flight: dict[int, Pending] = field(default_factory=dict)
    #: Items to send, in order. The driver removes sent items from the front.
    outgoing: list[Item] = field(default_factory=list)
    heard_at: float = 0.0
    #: The `Hello.instance` of the last broker that has sent a hello.
    broker: str = ""
    #: Whether the driver must end the connection and ignore its messages.
    is_lost: bool = False
    spoken_to: bool = False
    #: The broker's limits, from its hello; a call with a weight up to ``small`` fits.
    limits: Takes | None = None
    small: int = SMALL
    message_bytes: int = TOGETHER
    #: The limit on bytes of large calls that the broker has not processed: unread calls occupy its
    #: memory, and no other limit applies to them.
    window: int = UNBOUNDED
    on_their_way: int = 0
    #: Their ids and sizes, in the order of sending.
    large: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def is_greeted(self) -> bool:
        """Whether the broker has responded to our hello on this connection."""
        return self.state in (LinkState.READY, LinkState.DRAINING)

    def learn(self, limits: Takes, window: int) -> None:
        """Record the broker's limits, and its window."""
        limits = sane(limits)
        self.limits, self.small = limits, small_of(limits)
        self.message_bytes = min(limits.message_bytes, TOGETHER)
        self.window = window if window > 0 else UNBOUNDED

    @property
    def has_room(self) -> bool:
        """Whether a call may be sent now."""
        return (
            self.state is LinkState.READY
            and len(self.in_flight) < self.credit
            and self.on_their_way < self.window
        )

    def note_sent(self, pending: Pending) -> None:
        """Count the body of a call that is sent now, if it is large."""
        size = sum(map(len, frames_of(pending.body)))
        if size > LARGE:
            self.large.append((pending.id, size))
            self.on_their_way += size

    def note_seen(self, seen: int) -> None:
        """Record that the broker has processed all calls up to the id ``seen``."""
        while self.large and self.large[0][0] <= seen:
            self.on_their_way -= self.large.popleft()[1]

    def note_unsent(self, call_id: int) -> None:
        """Record that a call could not be encoded."""
        self.large = deque(one for one in self.large if one[0] != call_id)
        self.on_their_way = sum(size for _, size in self.large)

    def note_ended(self) -> None:
        """Record the end of the connection: nothing is in transit any more."""
        self.large.clear()
        self.on_their_way = 0


@final
class Pending:
    """A call of this client; it has an ``outcome`` when it has ``ended``.

    Attributes:
      is_timed: whether we end it at its deadline; otherwise the caller's cancel scope does.
      waiter: called once, by `tell`; the engine only stores it.
      parts: the parts of its response, if there are any.
      stream: receives its response in parts, if the caller wants that.
      weight: an upper bound for the size of each of its parts; see `Link.small`.

    """

    # Written out instead of using a dataclass, because one is created for each call.
    def __init__(
        self,
        method: str,
        target: str,
        headers: Headers,
        body: Body,
        deadline: float,
        is_timed: bool,
        waiter: Callable[[], object],
        weight: int = UNKNOWN_WEIGHT,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.deadline = deadline
        self.is_timed = is_timed
        self.waiter = waiter
        self.weight = weight
        self.id = 0
        self.link: Link | None = None
        self.attempts = 0
        self.ended = False
        self.parts: Parts | None = None
        self.stream: Inflow | None = None
        self.outcome: messages.Response | TrizmqError | None = None

    def to_item(self, ttl: int, sent: int) -> Call:
        """Return the item to send: see `Call` for ``ttl`` and ``sent``."""
        return _CALL(
            self.id,
            ttl,
            self.method,
            self.target,
            self.headers,
            self.body,
            None,
            "",
            sent,
            0 if self.stream is None else self.stream.window,
        )

    def tell(self) -> None:
        """Notify the waiter that the call has ended; the driver calls this."""
        waiter = self.waiter
        self.let_go()
        waiter()

    def let_go(self) -> None:
        """Drop the waiter, because this record stays in the heap of deadlines for a while."""
        self.waiter = nobody

    @property
    def is_idempotent(self) -> bool:
        """Whether repeating it has no further effect (promise P4)."""
        return self.method in IDEMPOTENT_METHODS or "idempotency-key" in self.headers


@final
class WaitingCalls:
    """A queue of calls in order of arrival, which a call can leave from any position."""

    def __init__(self) -> None:
        # An OrderedDict finds its first item immediately, however many have left before it.
        self._calls: OrderedDict[Pending, None] = OrderedDict()
        self.bytes = 0

    @property
    def count(self) -> int:
        """The number of waiting calls."""
        return len(self._calls)

    @property
    def is_full(self) -> bool:
        """Whether no more new calls are accepted; calls that waited before may return."""
        return len(self._calls) >= MAX_WAITING

    @property
    def is_heavy(self) -> bool:
        """Whether no more new calls are accepted while there is no broker."""
        return self.bytes > MAX_WAITING_BYTES

    def push(self, pending: Pending) -> None:
        """Append ``pending``."""
        self._calls[pending] = None
        self.bytes += _body_size(pending)

    def put_back(self, pendings: Sequence[Pending]) -> None:
        """Put calls that were sent, in order, before those that were not."""
        for pending in reversed(pendings):
            self.push(pending)
            self._calls.move_to_end(pending, last=False)

    def pop(self) -> Pending:
        """Remove and return the first call."""
        pending, _ = self._calls.popitem(last=False)
        self.bytes -= _body_size(pending)
        return pending

    def has(self, pending: Pending) -> bool:
        """Return whether ``pending`` is waiting here."""
        return pending in self._calls

    def leave(self, pending: Pending) -> bool:
        """Remove ``pending``; return whether it was here."""
        if pending not in self._calls:
            return False
        del self._calls[pending]
        self.bytes -= _body_size(pending)
        return True

    def all(self) -> list[Pending]:
        """Return all waiting calls."""
        return list(self._calls)


def _body_size(pending: Pending) -> int:
    return sum(map(len, frames_of(pending.body)))
