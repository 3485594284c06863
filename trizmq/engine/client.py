"""The client's state: links to brokers, calls that wait, calls in flight, late responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Final, final

from .. import messages
from ..errors import DeadlineExceeded, Overloaded, RemoteProtocolError, Unreachable
from ..headers import add_lower_case, no_headers
from ..wire.items import (
    DEFAULT_TAKES,
    VERSION,
    Call,
    Cancel,
    Goaway,
    Heartbeat,
    Hello,
    Part,
    Response,
    frames_of,
)
from .broker_limits import BrokerLimits
from .deadlines import Deadlines
from .links import SMALL, Link, LinkState, Pending
from .parts import Parts
from .retries import MAX_ATTEMPTS, RetryBudget
from .waiting import WaitingCalls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..errors import LocalProtocolError, TrizmqError
    from ..wire.items import Item, Takes

__all__ = ["Client", "ClientOutbox"]

#: Seconds between heartbeats, and how many of them may fail to come (docs/reference/statuses.md).
HEARTBEAT: Final = 1.0
LIVENESS: Final = 3

#: Seconds between two hellos where the first was answered by "unknown" (promise P4).
MIN_PAUSE: Final = 0.1
MAX_PAUSE: Final = 1.0


@final
@dataclass(eq=False)
class ClientOutbox:
    """What is to be done now, besides sending each link's ``outgoing``."""

    #: Their outcome is there: wake who waits for it.
    ended: list[Pending] = field(default_factory=list)
    #: Close their socket and open a new one; what was unsent in the old one is void.
    reopen: list[Link] = field(default_factory=list)
    #: Exceptions that were survived, to be logged.
    faults: list[Exception] = field(default_factory=list)


@final
class Client:
    """Values and the time in; `take_outbox` and ``link.outgoing`` are what to do about it.

    Theory of operation. A call goes to the first link that is ready and has room; else it
    waits, in order. Before the broker's hello nothing but our own hello is on the wire, so
    of a call that waits here it is known that nobody was given it. A broker that falls
    silent, or says that it does not know us, has lost what it held: what is idempotent
    waits again (within the retry budget), the rest ends, ``executed="maybe"``.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        instance: str,
        now: float,
        takes: Takes = DEFAULT_TAKES,
    ) -> None:
        self.links = tuple(Link(endpoint, heard_at=now) for endpoint in dict.fromkeys(endpoints))
        self.late = 0
        self._hello = Hello(VERSION, instance, takes=takes)
        self._ids = count(1)
        self._waiting = WaitingCalls()
        self._limits = BrokerLimits(self.links, now=now)
        self._deadlines: Deadlines[Pending] = Deadlines()
        self._budget = RetryBudget()
        self._outbox = ClientOutbox()
        self._next_beat = now + HEARTBEAT
        for link in self.links:
            link.outgoing.append(self._hello)

    def take_outbox(self) -> ClientOutbox:
        """Return what is to be done besides sending, and start anew."""
        outbox, self._outbox = self._outbox, ClientOutbox()
        for link in outbox.reopen:
            link.is_lost = False
        return outbox

    @property
    def in_flight(self) -> int:
        """How many calls have been sent and not ended."""
        return sum(len(link.in_flight) for link in self.links)

    @property
    def waiting(self) -> int:
        """How many calls wait here."""
        return self._waiting.count

    @property
    def is_connected(self) -> bool:
        """Whether some broker has answered our hello, and has not been lost."""
        return any(link.state is LinkState.READY for link in self.links)

    # -- a call's way out --------------------------------------------------------------

    def submit(self, pending: Pending, now: float) -> None:
        """Take in a call; it will end once, unless the caller gives it up (`cancel`).

        Raises:
          Overloaded: too many calls wait already; this one is not taken in.
          Unreachable: no broker here speaks our version.

        """
        pending.id = next(self._ids)
        link = self._usable_link()
        small = SMALL if link is None else link.small
        if pending.weight > small and (response := self._limits.refusal(pending, link)):
            self._answer_unsent(pending, response)
            return
        if link is not None and not self._waiting.count:
            self._send(pending, link, now)
        elif link is None and self._is_refused:
            pending.ended = True
            raise Unreachable(self._why_refused(), executed="no")
        else:
            self._wait(pending)
        if pending.is_timed:
            self._deadlines.add(pending.deadline, pending)

    def cancel(self, pending: Pending) -> None:
        """Give up a call: its caller has gone. Nothing more is heard of it here.

        One that was not taken in, or has ended, is left as it is.
        """
        if pending.id and not pending.ended:
            self._revoke(pending)
            self._close(pending)
            pending.let_go()

    def _usable_link(self) -> Link | None:
        for link in self.links:
            if link.has_room:
                return link
        return None

    @property
    def _is_refused(self) -> bool:
        return all(link.state is LinkState.REFUSED for link in self.links)

    def _wait(self, pending: Pending) -> None:
        if self._waiting.is_full:
            pending.ended = True
            raise Overloaded(f"{self._waiting.count} calls wait in this client", executed="no")
        self._waiting.push(pending)

    def _send(self, pending: Pending, link: Link, now: float) -> None:
        pending.link = link
        pending.attempts += 1
        link.in_flight[pending.id] = pending
        link.has_spoken = True
        # Rounded up: the broker must not be the first to find the deadline passed. (That of
        # a cancelled scope is minus infinity.)
        ttl = ceil(max(pending.deadline - now, 0.0) * 1000)
        link.outgoing.append(
            Call(pending.id, ttl, pending.method, pending.target, pending.headers, pending.body)
        )

    def _send_waiting(self, now: float) -> None:
        for link in self.links:
            while self._waiting.count and link.has_room:
                pending = self._waiting.pop()
                if pending.weight > link.small and (
                    response := self._limits.refusal(pending, link)
                ):
                    self._end(pending, response)
                else:
                    self._send(pending, link, now)

    def _answer_unsent(self, pending: Pending, response: messages.Response) -> None:
        # It is in no queue, and in no heap.
        pending.outcome, pending.ended = response, True
        self._outbox.ended.append(pending)

    def discard_first(self, link: Link, error: LocalProtocolError) -> Pending | None:
        """Drop the first item of ``link.outgoing``, which cannot be written.

        Returns:
          Its call, which has ended with ``error``; the caller is still to be told.

        """
        item = link.outgoing.pop(0)
        pending = link.in_flight.get(item.id) if isinstance(item, Call) else None
        if pending is not None:
            pending.outcome = error
            self._close(pending)
        return pending

    # -- what brokers say --------------------------------------------------------------

    def receive(self, link: Link, items: Sequence[Item], now: float) -> None:
        """Take in one message of the broker at ``link``."""
        link.heard_at = now
        for item in items:
            kind = type(item)
            try:
                if kind is Response:
                    self._answer(link, item)  # type: ignore[arg-type]  # kind says so
                elif kind is Hello and link.state is not LinkState.REFUSED:
                    link.losses = 0
                    link.credit = item.credit  # type: ignore[union-attr]
                    link.learn(item.takes)  # type: ignore[union-attr]
                    link.state = LinkState.READY
                elif kind is Goaway:
                    self._leave(link, item.reason, now)  # type: ignore[union-attr]
                elif kind is Part:
                    self._gather(link, item)  # type: ignore[arg-type]
            except Exception as error:
                self._fail(link, item, error)
        if self._waiting.count:
            self._send_waiting(now)

    def _fail(self, link: Link, item: Item, error: Exception) -> None:
        """End the call that ``item`` is about, after a fault of ours; nothing else ends by it."""
        self._outbox.faults.append(error)
        if isinstance(item, Response | Part) and item.id in link.in_flight:
            lost = RemoteProtocolError("a fault in this client: its log says where")
            self._end(link.in_flight[item.id], lost)

    def _answer(self, link: Link, item: Response) -> None:
        pending = link.in_flight.get(item.id)
        if pending is None:
            self.late += 1
            return
        status, body = item.status, item.body
        if status == 503 and not item.taken:
            self._wait_again(pending, link)
            return
        if status == 504 and pending.is_timed and pending.deadline <= link.heard_at:
            # The broker has said first what is ours to say.
            self._end(pending, self._expiry(pending))
            return
        self._budget.succeed()
        whole = body if type(body) is bytes else b"".join(frames_of(body))
        if status < 400 and (item.parts or pending.parts is not None):
            try:
                whole = (pending.parts or Parts()).before(whole, item.parts)
            except RemoteProtocolError as error:
                self._end(pending, error)
                return
        fields = no_headers()
        if item.headers:
            add_lower_case(fields, item.headers)
        self._end(pending, messages.Response(status, fields, whole))

    def _gather(self, link: Link, item: Part) -> None:
        pending = link.in_flight.get(item.id)
        if pending is None:
            self.late += 1
            return
        if pending.parts is None:
            pending.parts = Parts()
        try:
            pending.parts.add(item.seq, item.body)
        except RemoteProtocolError as error:
            self._revoke(pending)
            self._end(pending, error)

    def _wait_again(self, pending: Pending, link: Link) -> None:
        # It was on its way when the broker began to drain. No worker was given it, so another
        # broker may be, or the next one here (promise P13).
        if link.state is LinkState.READY:
            link.state = LinkState.DRAINING  # its goaway is on the way
        del link.in_flight[pending.id]
        pending.link = None
        pending.attempts -= 1
        self._waiting.push(pending)

    def _leave(self, link: Link, reason: str, now: float) -> None:
        if reason == "draining":
            link.state = LinkState.DRAINING
        elif reason == "version":
            link.state = LinkState.REFUSED
            self._end_all_waiting()
        else:
            self.lose(link, now)

    def lose(self, link: Link, now: float) -> None:
        """Start ``link`` anew: the broker that was there is gone, and what it held with it."""
        orphans = list(link.in_flight.values())
        link.in_flight.clear()
        link.outgoing.clear()
        self._reintroduce(link, now)
        link.state, link.heard_at = LinkState.CONNECTING, now
        if not link.is_lost:
            link.is_lost = True
            self._outbox.reopen.append(link)
        again = bool(orphans) and self._budget.fail()
        for pending in orphans:
            pending.link = pending.parts = None
            if again and pending.is_idempotent and pending.attempts < MAX_ATTEMPTS:
                self._waiting.push(pending)
            else:
                lost = f"the broker at {link.endpoint} was lost while it had the call"
                self._end(pending, Unreachable(lost, executed="maybe"))

    def _end_all_waiting(self) -> None:
        if self._is_refused:
            for pending in self._waiting.all():
                self._end(pending, Unreachable(self._why_refused(), executed="no"))

    def _why_refused(self) -> str:
        return f"{self._endpoints()} speaks another version of the native dialect"

    def _endpoints(self) -> str:
        return ", ".join(link.endpoint for link in self.links)

    def _reintroduce(self, link: Link, now: float) -> None:
        """Say hello anew: at once, unless that has just been in vain (promise P4)."""
        if link.losses:
            pause = min(MAX_PAUSE, MIN_PAUSE * 2 ** (link.losses - 1))
            link.hello_at = now + pause
        else:
            link.outgoing.append(self._hello)
        link.losses += 1

    # -- a call's end ------------------------------------------------------------------

    def _end(self, pending: Pending, outcome: messages.Response | TrizmqError) -> None:
        pending.outcome = outcome
        self._close(pending)
        self._outbox.ended.append(pending)

    def _close(self, pending: Pending) -> None:
        pending.ended = True
        if pending.link is not None:
            pending.link.in_flight.pop(pending.id, None)
        else:
            self._waiting.leave(pending)
        if pending.is_timed:
            self._deadlines.forget()
        pending.body = b""  # the record stays in the heap of deadlines for a while

    def _revoke(self, pending: Pending) -> None:
        """Tell the broker, if it has the call, that nobody waits for it."""
        if pending.link is not None:
            pending.link.outgoing.append(Cancel(pending.id))
            pending.link.has_spoken = True

    def close(self) -> None:
        """Say goodbye, and end every call that is left."""
        for link in self.links:
            if link.state in (LinkState.READY, LinkState.DRAINING):
                link.outgoing.append(Goaway("closing"))
            for pending in list(link.in_flight.values()):
                self._end(pending, Unreachable("the client was closed", executed="maybe"))
        for pending in self._waiting.all():
            self._end(pending, Unreachable("the client was closed", executed="no"))

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest."""
        if self._waiting.count and any(link.has_room for link in self.links):
            return float("-inf")  # a call that was given up, or a lost link, has made it so
        hello_at = min(link.hello_at for link in self.links)
        return min(self._deadlines.next, self._next_beat, hello_at, self._limits.assumed_at)

    def tick(self, now: float) -> None:
        """Let time pass: end what is due, beat, give up silent brokers, send what waits."""
        for pending in self._deadlines.due(now):
            self._revoke(pending)
            self._end(pending, self._expiry(pending))
        for link in self.links:
            if link.hello_at <= now:
                link.hello_at = float("inf")
                link.outgoing.append(self._hello)
        if now >= self._next_beat:
            for link in self.links:
                # If we come late, nobody listened meanwhile: that is not the broker's silence.
                link.heard_at += now - self._next_beat
                self._beat(link, now)
            self._next_beat = now + HEARTBEAT
        if self._limits.assume(now):
            for pending in self._waiting.all():
                if response := self._limits.refusal(pending, None):
                    self._end(pending, response)
        self._send_waiting(now)

    def _beat(self, link: Link, now: float) -> None:
        if link.state is LinkState.CONNECTING:
            # The hello may have gone to a broker that died before it answered.
            if not link.outgoing and link.hello_at == float("inf"):
                link.outgoing.append(self._hello)
        elif link.state is LinkState.REFUSED:
            pass
        elif link.state is LinkState.DRAINING and not link.in_flight:
            self.lose(link, now)  # nothing is lost: see whether its successor is there
        elif now - link.heard_at > HEARTBEAT * LIVENESS:
            self.lose(link, now)
        elif not link.has_spoken:
            link.outgoing.append(Heartbeat())
        link.has_spoken = False

    def _expiry(self, pending: Pending) -> TrizmqError:
        if pending.attempts:
            return DeadlineExceeded(
                f"{pending.method} {pending.target}: no response in time", executed="maybe"
            )
        if self.is_connected:
            return DeadlineExceeded(
                f"{pending.method} {pending.target}: not sent in time", executed="no"
            )
        return Unreachable(f"nobody answers at {self._endpoints()}", executed="no")
