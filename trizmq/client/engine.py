"""The state of a client: links to brokers, waiting calls, calls in flight, late responses."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, final

from ..pulse import Pulse
from ..wire.items import (
    DEFAULT_TAKES,
    MAX_IN_FLIGHT,
    VERSION,
    Credit,
    Goaway,
    Head,
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

# Names in this module, which compiled code finds faster than a lookup for each call.
_RESPONSE: Final = Response


@final
class Client:
    """A client: events and the time are inputs, `take_outbox` and ``link.outgoing`` are outputs.

    Theory of operation. A call goes to the first link that is ready and has room; otherwise it
    waits, in order. On a new connection, only our hello is sent before the broker's hello, so it
    is certain that no worker has received a waiting call.

    The driver reports when connections begin (`connect`) and end (`disconnect`), when an attempt
    fails (`miss`), and when the broker there has certainly ended (`bury`). Calls that were sent on
    a connection that has ended stay at their link until more is known about them: see `Recovery`.

    Args:
      secret: part of the key by which a broker recognizes this client; it must be kept secret.

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
        """Return the actions to take besides sending, and clear them."""
        outbox, self._outbox = self._outbox, ClientOutbox()
        outbox.ended, self.calls.ended = self.calls.ended, outbox.ended
        outbox.readable, self.calls.readable = self.calls.readable, outbox.readable
        for link in outbox.reopen:
            link.is_lost = False
        if self.links.leaving:
            outbox.left = self.links.take_left()
            for link in outbox.left:
                self._say_goodbye(link)
        return outbox

    @property
    def is_connected(self) -> bool:
        """Whether a broker has responded to our hello and has not been lost."""
        return self.links.are_connected

    # -- sending calls -----------------------------------------------------------------

    def submit(self, pending: Pending, now: float) -> None:
        """Accept a call. It ends once, unless the caller cancels it.

        Raises:
          Overloaded: if too many calls are already waiting; this one is not accepted.
          Unreachable: if no broker here supports our version.

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
        """Cancel a call, because its caller has gone. It has no outcome.

        A call that was not accepted, or has ended, is not changed.
        """
        if not pending.ended and (pending.link is not None or self._waiting.has(pending)):
            self.calls.revoke(pending)
            self.calls.close(pending)
            pending.let_go()

    def grant(self, pending: Pending, more: int) -> None:
        """Let the sender of a stream send ``more`` further bytes."""
        link = pending.link
        if link is not None and not pending.ended and link.state is not LinkState.CONNECTING:
            link.outgoing.append(Credit(pending.id, more))
            link.spoken_to = True

    def _send(self, pending: Pending, link: Link, now: float) -> None:
        # Ids are assigned on sending, so that they increase on each link, and a broker can report
        # with a single number which calls it has processed.
        self._last_id += 1
        pending.id = self._last_id
        pending.link = link
        pending.attempts += 1
        link.in_flight[pending.id] = pending
        link.spoken_to = True
        if pending.weight > LARGE:
            link.note_sent(pending)
        # Round up, so that the deadline does not pass at the broker before it does here.
        # (The deadline of a cancelled scope is minus infinity.)
        ttl = ceil(max(pending.deadline - now, 0.0) * 1000)
        self._began = self._began or now
        link.outgoing.append(pending.to_item(ttl, int((now - self._began) * 1000)))

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
        """Return the link to ``endpoint``; create one unless there is one that accepts calls."""
        return self.links.add(endpoint, now)

    def remove(self, link: Link, now: float) -> None:
        """Send no more calls on ``link``. Calls that have not left this process wait again.

        When no call is in flight on the link, it is in `ClientOutbox.left`, with a goodbye.
        """
        self.links.remove(link)
        self._recovery.take_unsent(link)
        self.calls.end_refused()
        self._send_waiting(now)

    def connect(self, link: Link, now: float) -> None:
        """Record a new connection, on which no message has been sent yet, and send a hello."""
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
        """Record that the connection is about to end: send no more calls on it."""
        if link.state is LinkState.READY:
            link.state = LinkState.DRAINING

    def disconnect(self, link: Link, now: float) -> None:
        """Record the end of the connection."""
        if link.state is not LinkState.CONNECTING:
            link.state, link.heard_at = LinkState.CONNECTING, now
            link.note_ended()
            self.calls.end_begun(link)
            self._recovery.take_unsent(link)
            link.outgoing.clear()
            self._send_waiting(now)

    def miss(self, link: Link, now: float) -> None:
        """Record that no connection could be made."""
        self._recovery.fail_over(link, list(link.in_flight.values()), self.links.taking, now)

    def bury(self, link: Link, now: float) -> None:
        """Record that there is no broker at ``link.endpoint``: the previous one has ended."""
        self._recovery.bury(link)
        self._send_waiting(now)

    def lose(self, link: Link, now: float) -> None:
        """End the connection, because the broker has forgotten us or sends invalid messages."""
        if not link.is_lost:
            link.is_lost = True
            self._outbox.reopen.append(link)
        self.disconnect(link, now)

    # -- messages from brokers ---------------------------------------------------------

    def receive(self, link: Link, items: Sequence[Item], now: float) -> None:
        """Process one message from the broker at ``link``."""
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
                elif kind is Head:
                    self.calls.begin(link, item)  # type: ignore[arg-type]
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
        """Say goodbye, and end all remaining calls."""
        for link in self.links.all():
            self._say_goodbye(link)
        self.calls.end_all()

    def _say_goodbye(self, link: Link) -> None:
        if link.is_greeted:
            link.outgoing.append(Goaway("closing"))

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """The latest time for the next `tick`."""
        if self._waiting.count and self.links.have_room:
            return float("-inf")  # because of a cancelled call, or a lost link
        return min(min(self._deadlines.next, self._pulse.next_beat), self._limits.assumed_at)

    def tick(self, now: float) -> None:
        """Process the time: end overdue calls, send heartbeats and waiting calls."""
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
