"""The client's links, one for each broker endpoint, and the calls that are sent on them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, final

from ..bounds import UNBOUNDED, sane, small_of
from ..errors import RemoteProtocolError
from ..limits import Limits
from ..messages import IDEMPOTENT_METHODS
from ..wire.batches import TOGETHER
from ..wire.items import DEFAULT_TAKES, frames_of
from ..wire.native import LARGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import messages
    from ..errors import TrizmqError
    from ..wire.items import Body, Headers, Item, Takes

__all__ = [
    "MAX_BYTES",
    "SMALL",
    "Link",
    "LinkState",
    "Parts",
    "Pending",
    "nobody",
]


#: The same as `Link.small`, for the default limits.
SMALL: Final = small_of(DEFAULT_TAKES)

#: The weight of a call that was not weighed: it is always looked at.
UNKNOWN_WEIGHT: Final = 1 << 40


def nobody() -> None:
    """Wait for nothing: the waiter of a call before its caller waits, and after."""


class LinkState(Enum):
    """Where the connection to one broker endpoint stands.

    ==========  =================================  ======================================
    state       entered when                       left when
    ==========  =================================  ======================================
    CONNECTING  there is no connection             a connection is made: GREETING
    GREETING    our hello was said                 the broker says hello: READY
    READY       the broker says hello              goaway: DRAINING
    DRAINING    the broker takes no more calls     (when it has ended)
    REFUSED     goaway: another version, or port   (when it has ended)
    ==========  =================================  ======================================

    From everywhere the end of the connection leads to CONNECTING, and nothing else does: a
    broker that is busy, and says nothing for a while, is still there.
    """

    CONNECTING = auto()
    GREETING = auto()
    READY = auto()
    DRAINING = auto()
    REFUSED = auto()


@final
@dataclass(eq=False)
class Link:
    """One connection to one broker endpoint, and then the next one."""

    endpoint: str
    #: By which the broker knows us again on the next connection. Nobody else may know it.
    key: str
    state: LinkState = LinkState.CONNECTING
    #: How many calls the broker takes from us at once; more wait here.
    credit: int = 0
    #: The calls that were sent here, by id: ids grow in the order of sending. They stay while
    #: there is no connection, until it is known what has become of them.
    in_flight: dict[int, Pending] = field(default_factory=dict)
    #: To be sent, in order. The driver takes from the front what has been.
    outgoing: list[Item] = field(default_factory=list)
    heard_at: float = 0.0
    #: The `Hello.instance` of the broker that has greeted us last.
    broker: str = ""
    #: The driver is to end the connection: what comes on it is of no concern.
    is_lost: bool = False
    spoken_to: bool = False
    #: What the broker takes, once its hello has told; a call of a weight up to ``small`` fits.
    limits: Takes | None = None
    small: int = SMALL
    message_bytes: int = TOGETHER
    #: How many bytes of large calls may be on their way, which the broker has not looked at: what
    #: it has not read lies in its memory, without any other bound.
    window: int = UNBOUNDED
    on_their_way: int = 0
    #: Their ids, in the order of sending, and their sizes.
    large: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def is_greeted(self) -> bool:
        """Whether the broker has answered our hello on this connection."""
        return self.state in (LinkState.READY, LinkState.DRAINING)

    def learn(self, limits: Takes, window: int) -> None:
        """Note what the broker takes, and how much at once."""
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
        """Note that the broker has looked at all calls up to the id ``seen``."""
        while self.large and self.large[0][0] <= seen:
            self.on_their_way -= self.large.popleft()[1]

    def note_unsent(self, call_id: int) -> None:
        """Note that a call could not be written."""
        self.large = deque(one for one in self.large if one[0] != call_id)
        self.on_their_way = sum(size for _, size in self.large)

    def note_ended(self) -> None:
        """Note that nothing is on its way any more: the connection has ended."""
        self.large.clear()
        self.on_their_way = 0


#: As many bytes as a body may have that comes in one.
MAX_BYTES: Final = Limits().body_bytes


@final
class Parts:
    """Joined in the order in which they were sent, which is that in which they come."""

    def __init__(self) -> None:
        self.count = 0
        self._data = bytearray()  # one buffer: a million small parts are not a million objects

    def add(self, seq: int, body: Body) -> None:
        """Take in the next part.

        Raises:
          RemoteProtocolError: one is missing, or they are larger than a body may be.

        """
        if seq != self.count:
            raise RemoteProtocolError(f"part {seq} of a response came where {self.count} was due")
        self.count += 1
        for frame in frames_of(body):
            self._data += frame
        if len(self._data) > MAX_BYTES:
            raise RemoteProtocolError(f"the parts of a response are larger than {MAX_BYTES} bytes")

    def before(self, body: bytes, count: int) -> bytes:
        """Return all of it: the parts, then the body that came with the end.

        ``count`` is how many parts the end says that there were; 0 if it does not say.

        Raises:
          RemoteProtocolError: the last ones are missing.

        """
        if count and count != self.count:
            raise RemoteProtocolError(f"{self.count} of the {count} parts of a response came")
        return bytes(self._data) + body


@final
class Pending:
    """One call of ours; ``outcome`` is there when it has ``ended``.

    Attributes:
      is_timed: whether we end it at its deadline; else the caller's own cancel scope does.
      waiter: called once, by `tell`; the engine only keeps it.
      parts: of its response, if it comes in parts.
      weight: no part of it has more bytes than this; see `Link.small`.

    """

    # Written out, not a dataclass: one is made for each call.
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
        self.outcome: messages.Response | TrizmqError | None = None

    def tell(self) -> None:
        """Tell who waits that it has ended; the driver does."""
        waiter = self.waiter
        self.let_go()
        waiter()

    def let_go(self) -> None:
        """Drop who waits: this record stays in the heap of deadlines for a while."""
        self.waiter = nobody

    @property
    def is_idempotent(self) -> bool:
        """Whether doing it twice is as good as once (promise P4)."""
        return self.method in IDEMPOTENT_METHODS or "idempotency-key" in self.headers
