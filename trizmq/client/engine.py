"""The client's state: links to brokers, calls that wait, calls in flight, late responses."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, final

from ..pulse import Pulse
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
from .brokers import BrokerLimits, Links
from .calls import REFUSALS, Calls, ClientOutbox
from .links import SMALL, LinkState
from .recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..wire.items import Item, Takes
    from .links import Link, Pending

__all__ = ["Client"]

# Names of this module, which compiled code finds at once; others it looks up for each call.
_CALL: Final = Call
_RESPONSE: Final = Response


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
        self.links = Links(endpoints, secret, now)
        self._instance = instance
        self._began = 0.0  # when the first call was sent
        self._takes = takes
        self._last_id = 0
        self.calls = calls = Calls(self.links)
        self._waiting = calls.waiting
        self._limits = BrokerLimits(self.links.taking, now=now)
        self._deadlines = calls.deadlines
        self._recovery = Recovery(
            calls.waiting, calls.budget, calls.end, self._send, self._limits.fits
        )
        self._outbox = ClientOutbox()
        self._pulse = Pulse(now)

    def take_outbox(self) -> ClientOutbox:
        """Return what is to be done besides sending, and start anew."""
        outbox, self._outbox = self._outbox, ClientOutbox()
        outbox.ended, self.calls.ended = self.calls.ended, outbox.ended
        for link in outbox.reopen:
            link.is_lost = False
        if self.links.leaving:
            outbox.left = self.links.take_left()
            for link in outbox.left:
                self._say_goodbye(link)
        return outbox

    @property
    def is_connected(self) -> bool:
        """Whether some broker has answered our hello, and has not been lost."""
        return self.links.are_connected

    # -- a call's way out --------------------------------------------------------------

    def submit(self, pending: Pending, now: float) -> None:
        """Take in a call; it will end once, unless the caller gives it up (`cancel`).

        Raises:
          Overloaded: too many calls wait already; this one is not taken in.
          Unreachable: no broker here speaks our version.

        """
        link = self.links.usable(now)
        small = SMALL if link is None else link.small
        if pending.weight > small and (response := self._limits.refusal(pending, link)):
            self.calls.answer_unsent(pending, response)
            return
        if link is not None and not self._waiting.count:
            self._send(pending, link, now)
        elif link is None and self.links.are_refused:
            pending.ended = True
            raise self.calls.refused()
        else:
            self.calls.wait(pending)
        if pending.is_timed:
            self._deadlines.add(pending.deadline, pending)

    def cancel(self, pending: Pending) -> None:
        """Give up a call: its caller has gone. Nothing more is heard of it here.

        One that was not taken in, or has ended, is left as it is.
        """
        if not pending.ended and (pending.link is not None or self._waiting.has(pending)):
            self.calls.revoke(pending)
            self.calls.close(pending)
            pending.let_go()

    def _send(self, pending: Pending, link: Link, now: float) -> None:
        # Counted only now: on one link ids grow in the order of sending, so that a broker can say
        # with one number what it has looked at.
        self._last_id += 1
        pending.id = self._last_id
        pending.link = link
        pending.attempts += 1
        link.in_flight[pending.id] = pending
        link.spoken_to = True
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
            link = self.links.usable(now)
            if link is None:
                return
            pending = self._waiting.pop()
            if pending.weight > link.small and (response := self._limits.refusal(pending, link)):
                self.calls.end(pending, response)
            else:
                self._send(pending, link, now)

    # -- connections -------------------------------------------------------------------

    def add(self, endpoint: str, now: float) -> Link:
        """Return the link to ``endpoint``: a new one, unless there is one that takes calls."""
        return self.links.add(endpoint, now)

    def remove(self, link: Link, now: float) -> None:
        """Send no more calls on ``link``. Those that have not left this process wait again.

        The link is in `ClientOutbox.left`, with a goodbye, when no call is in flight on it.
        """
        self.links.remove(link)
        self._recovery.take_unsent(link)
        self.calls.end_refused()
        self._send_waiting(now)

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
            link.outgoing.clear()
            self._send_waiting(now)

    def miss(self, link: Link, now: float) -> None:
        """Be told that no connection could be made."""
        self._recovery.fail_over(link, list(link.in_flight.values()), self.links.taking, now)

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
                    self.calls.answer(link, item)  # type: ignore[arg-type]  # kind says so
                elif kind is Hello:
                    self._welcome(link, item, now)  # type: ignore[arg-type]
                elif kind is Goaway:
                    self._leave(link, item, now)  # type: ignore[arg-type]
                elif kind is Part:
                    self.calls.gather(link, item)  # type: ignore[arg-type]
                elif kind is Heartbeat:
                    link.note_seen(item.seen)  # type: ignore[union-attr]
            except Exception as error:
                self._outbox.faults.append(error)
                self.calls.fail(link, item)
        if self._waiting.count:
            self._send_waiting(now)

    def _welcome(self, link: Link, hello: Hello, now: float) -> None:
        if link.state in (LinkState.CONNECTING, LinkState.REFUSED):
            return
        if link.state is LinkState.GREETING and link.in_flight:
            if hello.instance == link.broker:
                self._recovery.resume(link, hello, self.links.taking, now)
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
            self.calls.refusal = REFUSALS[goaway.reason]
            self.calls.end_refused()
        else:
            self.lose(link, now)

    def close(self) -> None:
        """Say goodbye, and end every call that is left."""
        for link in self.links.all():
            self._say_goodbye(link)
        self.calls.end_all()

    def _say_goodbye(self, link: Link) -> None:
        if link.is_greeted:
            link.outgoing.append(Goaway("closing"))

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest."""
        if self._waiting.count and self.links.have_room:
            return float("-inf")  # a call that was given up, or a lost link, has made it so
        return min(min(self._deadlines.next, self._pulse.next_beat), self._limits.assumed_at)

    def tick(self, now: float) -> None:
        """Let time pass: end what is due, beat, send what waits."""
        for pending in self._deadlines.due(now):
            self.calls.revoke(pending)
            self.calls.end(pending, self.calls.expiry(pending))
        if self._pulse.beats(now):
            for link in self.links.all():
                if self._pulse.renew(link) and link.is_greeted:
                    link.outgoing.append(Heartbeat())
        if self._limits.assume(now):
            for pending in self._waiting.all():
                if response := self._limits.refusal(pending, None):
                    self.calls.end(pending, response)
        self._send_waiting(now)
