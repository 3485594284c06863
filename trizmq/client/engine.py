"""The client's state: links to brokers, calls that wait, calls in flight, late responses."""

from __future__ import annotations

from math import ceil
from operator import attrgetter
from typing import TYPE_CHECKING, Final, final

from ..errors import Overloaded, Unreachable
from ..wire.items import (
    DEFAULT_TAKES,
    MAX_IN_FLIGHT,
    VERSION,
    Call,
    Goaway,
    Heartbeat,
    Hello,
    Part,
    Response,
)
from ..wire.native import LARGE
from .calls import REFUSALS, Calls, ClientOutbox
from .links import SMALL, Link, LinkState, Pending
from .recovery import BrokerLimits, Recovery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..errors import LocalProtocolError
    from ..wire.items import Item, Takes

__all__ = ["Client"]

# Names of this module, which compiled code finds at once; others it looks up for each call.
_CALL: Final = Call
_RESPONSE: Final = Response


#: Seconds between heartbeats (docs/reference/statuses.md).
HEARTBEAT: Final = 1.0


#: A broker that has said nothing for so many seconds is busy: a new call goes to another one, if
#: one is there that is not.
BUSY: Final = 3.0


@final
class Client:
    """Values and the time in; `take_outbox` and ``link.outgoing`` are what to do about it.

    Theory of operation. A call goes to the first link that is ready and has room; else it
    waits, in order. On a new connection nothing is said before the broker's hello but our own,
    so of a call that waits here it is known that no worker was given it.

    The driver says when connections begin (`connect`) and end (`disconnect`), when an attempt
    fails (`miss`), and when it is certain that the broker there has ended (`bury`). What was
    sent on a connection that has ended stays where it is until something is known about it:
    see `Recovery`.

    Args:
      secret: part of what makes a broker know us again; nobody else may know it.

    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        instance: str,
        secret: str = "",
        now: float,
        takes: Takes = DEFAULT_TAKES,
    ) -> None:
        self.links = tuple(
            Link(endpoint, f"{secret}-{number}", heard_at=now)
            for number, endpoint in enumerate(dict.fromkeys(endpoints))
        )
        self._instance = instance
        self._began = 0.0  # when the first call was sent
        self._takes = takes
        self._last_id = 0
        self._calls = calls = Calls(self.links)
        self._waiting = calls.waiting
        self._limits = BrokerLimits(self.links, now=now)
        self._deadlines = calls.deadlines
        self._recovery = Recovery(
            calls.waiting, calls.budget, calls.end, self._send, self._limits.fits
        )
        self._outbox = ClientOutbox()
        self._next_beat = now + HEARTBEAT

    def take_outbox(self) -> ClientOutbox:
        """Return what is to be done besides sending, and start anew."""
        outbox, self._outbox = self._outbox, ClientOutbox()
        outbox.ended, self._calls.ended = self._calls.ended, outbox.ended
        for link in outbox.reopen:
            link.is_lost = False
        return outbox

    @property
    def in_flight(self) -> int:
        """How many calls have been sent and not ended."""
        return sum(len(link.in_flight) for link in self.links)

    @property
    def late(self) -> int:
        """How many responses came to calls that had ended."""
        return self._calls.late

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
        link = self._usable_link(now)
        small = SMALL if link is None else link.small
        if pending.weight > small and (response := self._limits.refusal(pending, link)):
            self._calls.answer_unsent(pending, response)
            return
        if link is not None and not self._waiting.count:
            self._send(pending, link, now)
        elif link is None and self._calls.is_refused:
            pending.ended = True
            raise Unreachable(self._calls.why_refused(), executed="no")
        else:
            self._wait(pending)
        if pending.is_timed:
            self._deadlines.add(pending.deadline, pending)

    def cancel(self, pending: Pending) -> None:
        """Give up a call: its caller has gone. Nothing more is heard of it here.

        One that was not taken in, or has ended, is left as it is.
        """
        if not pending.ended and (pending.link is not None or self._waiting.has(pending)):
            self._calls.revoke(pending)
            self._calls.close(pending)
            pending.let_go()

    def _usable_link(self, now: float) -> Link | None:
        for link in self.links:
            if link.has_room and now - link.heard_at <= BUSY:
                return link
        ready = [link for link in self.links if link.has_room]
        return max(ready, key=attrgetter("heard_at")) if ready else None

    def _wait(self, pending: Pending) -> None:
        # While a broker is there, what waits will be sent in a moment.
        if self._waiting.is_full or (self._waiting.is_heavy and not self.is_connected):
            pending.ended = True
            raise Overloaded(f"{self._waiting.count} calls wait in this client", executed="no")
        self._waiting.push(pending)

    def _send(self, pending: Pending, link: Link, now: float) -> None:
        # Counted only now: on one link ids grow in the order of sending, so that a broker can say
        # with one number what it has looked at.
        self._last_id += 1
        pending.id = self._last_id
        pending.link = link
        pending.attempts += 1
        link.in_flight[pending.id] = pending
        link.has_spoken = True
        if pending.weight > LARGE:
            link.note_sent(pending)
        # Rounded up: the broker must not be the first to find the deadline passed. (That of
        # a cancelled scope is minus infinity.)
        ttl = ceil(max(pending.deadline - now, 0.0) * 1000)
        self._began = self._began or now
        link.outgoing.append(
            _CALL(
                pending.id,
                ttl,
                pending.method,
                pending.target,
                pending.headers,
                pending.body,
                None,
                "",
                int((now - self._began) * 1000),
            )
        )

    def _send_waiting(self, now: float) -> None:
        while self._waiting.count:
            link = self._usable_link(now)
            if link is None:
                return
            pending = self._waiting.pop()
            if pending.weight > link.small and (response := self._limits.refusal(pending, link)):
                self._calls.end(pending, response)
            else:
                self._send(pending, link, now)

    def discard_first(self, link: Link, error: LocalProtocolError) -> Pending | None:
        """Drop the first item of ``link.outgoing``, which cannot be written: see `Calls`."""
        return self._calls.discard_first(link, error)

    # -- connections -------------------------------------------------------------------

    def connect(self, link: Link, now: float) -> None:
        """Be told that there is a connection, on which nothing was said yet: say hello."""
        link.state, link.heard_at = LinkState.GREETING, now
        hello = Hello(
            VERSION,
            self._instance,
            takes=self._takes,
            key=link.key,
            resumes=link.broker,
            in_flight=tuple(link.in_flight),
        )
        link.outgoing = [hello]

    def hold(self, link: Link) -> None:
        """Be told that the connection is about to end: send no more calls on it."""
        if link.state is LinkState.READY:
            link.state = LinkState.DRAINING

    def disconnect(self, link: Link, now: float) -> None:
        """Be told that the connection has ended."""
        if link.state is not LinkState.CONNECTING:
            link.state, link.heard_at = LinkState.CONNECTING, now
            link.note_ended()
            self._recovery.take_unsent(link)
            self._send_waiting(now)

    def miss(self, link: Link, now: float) -> None:
        """Be told that no connection could be made."""
        self._recovery.fail_over(link, list(link.in_flight.values()), self.links, now)

    def bury(self, link: Link, now: float) -> None:
        """Be told that no broker is at ``link.endpoint``: the one that was there has ended."""
        self._recovery.bury(link)
        self._send_waiting(now)

    def lose(self, link: Link, now: float) -> None:
        """End the connection: the broker has forgotten us, or what it says is garbage."""
        if not link.is_lost:
            link.is_lost = True
            self._outbox.reopen.append(link)
        self.disconnect(link, now)

    # -- what brokers say --------------------------------------------------------------

    def receive(self, link: Link, items: Sequence[Item], now: float) -> None:
        """Take in one message of the broker at ``link``."""
        link.heard_at = now
        for item in items:
            kind = type(item)
            try:
                if kind is _RESPONSE:
                    self._calls.answer(link, item)  # type: ignore[arg-type]  # kind says so
                elif kind is Hello:
                    self._welcome(link, item, now)  # type: ignore[arg-type]
                elif kind is Goaway:
                    self._leave(link, item, now)  # type: ignore[arg-type]
                elif kind is Part:
                    self._calls.gather(link, item)  # type: ignore[arg-type]
                elif kind is Heartbeat:
                    link.note_seen(item.seen)  # type: ignore[union-attr]
            except Exception as error:
                self._outbox.faults.append(error)
                self._calls.fail(link, item)
        if self._waiting.count:
            self._send_waiting(now)

    def _welcome(self, link: Link, hello: Hello, now: float) -> None:
        if link.state in (LinkState.CONNECTING, LinkState.REFUSED):
            return
        if link.state is LinkState.GREETING and link.in_flight:
            if hello.instance == link.broker:
                self._recovery.resume(link, hello, self.links, now)
            else:
                self._recovery.bury(link)
        link.broker = hello.instance
        link.learn(hello.takes, hello.window)
        link.credit = min(hello.credit, MAX_IN_FLIGHT)
        link.state = LinkState.READY

    def _leave(self, link: Link, goaway: Goaway, now: float) -> None:
        if goaway.seen >= 0:
            self._recovery.take_unseen(link, goaway.seen)
        if goaway.reason in ("draining", "closing"):
            link.state = LinkState.DRAINING
        elif goaway.reason in REFUSALS:
            link.state = LinkState.REFUSED
            self._recovery.bury(link)
            self._calls.end_refused(goaway.reason)
        else:
            self.lose(link, now)

    def close(self) -> None:
        """Say goodbye, and end every call that is left."""
        for link in self.links:
            if link.state in (LinkState.READY, LinkState.DRAINING):
                link.outgoing.append(Goaway("closing"))
        self._calls.end_all()

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest."""
        if self._waiting.count and any(link.has_room for link in self.links):
            return float("-inf")  # a call that was given up, or a lost link, has made it so
        return min(min(self._deadlines.next, self._next_beat), self._limits.assumed_at)

    def tick(self, now: float) -> None:
        """Let time pass: end what is due, beat, send what waits."""
        for pending in self._deadlines.due(now):
            self._calls.revoke(pending)
            self._calls.end(pending, self._calls.expiry(pending))
        if now >= self._next_beat:
            for link in self.links:
                # If we come late, nobody listened meanwhile: that is not the broker's silence.
                link.heard_at += now - self._next_beat
                self._beat(link)
            self._next_beat = now + HEARTBEAT
        if self._limits.assume(now):
            for pending in self._waiting.all():
                if response := self._limits.refusal(pending, None):
                    self._calls.end(pending, response)
        self._send_waiting(now)

    def _beat(self, link: Link) -> None:
        if link.state in (LinkState.READY, LinkState.DRAINING) and not link.has_spoken:
            link.outgoing.append(Heartbeat())
        link.has_spoken = False
