"""The connections of a client: the engine decides, and this module sends, receives and wakes."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Final, final

import trio

from ..errors import LocalProtocolError, RemoteProtocolError
from ..ticker import Faults, Ticker
from ..transport.reconnection import Line, Lines
from ..wire import native
from ..wire.items import DEFAULT_TAKES
from .carrier import Carrier
from .engine import Client as Engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..transport.face import Dealer, Transport
    from ..wire.items import Takes
    from .links import Link, Pending

__all__ = ["Connection"]

LOGGER = logging.getLogger("trizmq.client")

#: The maximum number of messages to read in one pass; then other tasks run.
MESSAGES_A_PASS: Final = 256

#: After this many seconds of silence, the next call first checks if the connection has ended.
#: Otherwise a call made just then would be lost without notice.
QUIET: Final = 0.005

#: Seconds that a goodbye may take to arrive after the client has ended.
GOODBYE_SECONDS: Final = 0.2


@final
class Connection(Carrier):
    """Sends calls to the brokers at ``endpoints``, with one socket for each.

    A call is submitted with a ``waiter``, which is called once, synchronously, when the call has
    ended. It must not raise an exception.
    """

    # Theory of operation. Calls made in the same scheduler pass leave together: the first one wakes
    # the flusher, which runs in the next pass and sends all of them, at most `native.BATCH` in one
    # message. A single call does not wait for others: it is sent immediately, and so is a full
    # batch.

    def __init__(
        self, transport: Transport, endpoints: Sequence[str], takes: Takes = DEFAULT_TAKES
    ) -> None:
        self._heard_at = now = trio.current_time()
        self.engine = Engine(
            (),
            instance=secrets.token_hex(4),
            secret=secrets.token_hex(16),
            now=now,
            takes=takes,
        )
        self._transport = transport
        self._lines: dict[Link, Line] = {}
        self._running = Lines()
        for endpoint in endpoints:
            self._open(endpoint, now)
        self._faults = Faults(LOGGER)
        self._ticker = Ticker(self.engine, self.act, self._faults)
        self._flusher: trio.lowlevel.Task | None = None
        self._is_closed = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the connections until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._running.run)
                nursery.start_soon(self._ticker.run)
                nursery.start_soon(self._flush_when_woken)
                task_status.started()
        finally:
            self._close()

    @property
    def is_connected(self) -> bool:
        return self.engine.is_connected

    def add(self, endpoint: str) -> None:
        """Connect to one more broker; do nothing if calls already go there.

        Raises:
          ConfigError: if ``endpoint`` is not an endpoint.
          trio.ClosedResourceError: if `run` has ended.

        """
        if self._is_closed:
            raise trio.ClosedResourceError("this client was closed")
        self._open(endpoint, trio.current_time())

    def remove(self, endpoint: str) -> None:
        """Send no more calls to ``endpoint``; calls that are in flight there may finish.

        Then the connection ends, with a goodbye. Waiting calls go to other brokers, or if there are
        none, to the next one that is added. Does nothing if no calls go there.
        """
        for link in self.engine.links.taking:
            if link.endpoint == endpoint and not self._is_closed:
                self.engine.remove(link, trio.current_time())
                self.act()
                return

    def _open(self, endpoint: str, now: float) -> None:
        self._transport.check(endpoint)
        link = self.engine.add(endpoint, now)
        if link not in self._lines:
            line = Line(self._transport, endpoint, _LinkTalk(self, link), beats=True)
            self._lines[link] = line
            self._running.add(line)

    def submit(self, pending: Pending, now: float) -> None:
        self._take(pending, now)
        self._send_soon(pending)

    def submit_many(self, pendings: Sequence[Pending], now: float) -> None:
        for pending in pendings:
            self._take(pending, now)
        self.act()

    def cancel(self, pendings: Sequence[Pending]) -> None:
        for pending in pendings:
            self.engine.cancel(pending)
        if not self._is_closed:
            self.act()

    def grant(self, pending: Pending, more: int) -> None:
        self.engine.grant(pending, more)
        if not self._is_closed:
            self._send_soon(pending)

    def _take(self, pending: Pending, now: float) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError("this client was closed")
        if now - self._heard_at > QUIET:
            self._look(now)
        self.engine.submit(pending, now)
        if pending.is_timed:
            self._ticker.note(pending.deadline)

    def _look(self, now: float) -> None:
        self._heard_at = now
        for line in self._lines.values():
            line.look()

    def _send_soon(self, pending: Pending) -> None:
        link = pending.link
        if link is None:
            if pending.ended:
                self.act()
        elif len(link.in_flight) == 1 or len(link.outgoing) >= native.BATCH:
            self._send(link)
        elif self._flusher is not None:
            trio.lowlevel.reschedule(self._flusher)
            self._flusher = None

    async def _flush_when_woken(self) -> None:
        def forget(_: object) -> trio.lowlevel.Abort:
            self._flusher = None
            return trio.lowlevel.Abort.SUCCEEDED

        while True:
            self._flusher = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(forget)
            self.act()

    def receive(self, link: Link, dealer: Dealer) -> bool:
        """Process received messages of a broker; return whether there may be more."""
        self._heard_at = now = trio.current_time()
        count = 0
        try:
            while count < MESSAGES_A_PASS and not link.is_lost:
                frames = dealer.receive_nowait()
                if frames is None:
                    break
                count += 1
                self.engine.receive(link, native.decode(frames), now)
        except RemoteProtocolError:
            self.engine.lose(link, now)
        except Exception as error:
            self._faults.note(error, "reading a message")
            self.engine.lose(link, now)
        self.act()
        return count == MESSAGES_A_PASS

    def act(self) -> None:
        """Carry out the actions of the engine."""
        outbox = self.engine.take_outbox()
        for link in outbox.reopen:
            self._lines[link].reset()
        for link in self._lines:
            if link.outgoing:
                self._send(link)
        for link in outbox.left:
            self._part(link)
        for stream in outbox.readable:
            stream.wake()
        for pending in outbox.ended:
            pending.tell()
        for error in outbox.faults:
            self._faults.note(error, "taking in a message")
        self._ticker.reconsider()

    def _send(self, link: Link) -> None:
        dealer, outgoing = self._lines[link].dealer, link.outgoing
        if dealer is None:
            return
        try:
            while outgoing:
                frames, count = self._written(link)
                if frames:
                    dealer.send_nowait(frames)
                    del outgoing[:count]
        except trio.WouldBlock:
            pass  # the reader waits for room as well, and continues
        dealer.settle()

    def _written(self, link: Link) -> tuple[list[bytes], int]:
        """Encode the next message: (frames, number of items).

        If the items cannot be encoded, or exceed the broker's limit for a message, half of them are
        sent first. A single item that cannot be encoded is discarded, which ends its call and no
        other; then there are no frames.
        """
        batch = link.outgoing[: native.BATCH]
        while True:
            try:
                frames = native.encode(batch)
            except LocalProtocolError as error:
                if len(batch) == 1:
                    self._discard_first(link, error)
                    return [], 0
            else:
                if len(batch) == 1 or sum(map(len, frames)) <= link.message_bytes:
                    return frames, len(batch)
            batch = batch[: len(batch) // 2]

    def _discard_first(self, link: Link, error: LocalProtocolError) -> None:
        pending = self.engine.calls.discard_first(link, error)
        if pending is not None:
            pending.tell()

    def _close(self) -> None:
        self._is_closed = True
        self.engine.close()
        for link in list(self._lines):
            if link.outgoing:
                self._send(link)
            self._part(link)
        for pending in self.engine.take_outbox().ended:
            pending.tell()

    def _part(self, link: Link) -> None:
        """End the connection of a link permanently; the goodbye may still be in transit."""
        self._lines.pop(link).close(GOODBYE_SECONDS if link.credit else 0)


@final
class _LinkTalk:
    """The adapter between a line and a link of the engine."""

    def __init__(self, connection: Connection, link: Link) -> None:
        self._connection = connection
        self._link = link

    @property
    def has_unsent(self) -> bool:
        return bool(self._link.outgoing)

    def read(self, dealer: Dealer) -> bool:
        return self._connection.receive(self._link, dealer)

    def connected(self) -> None:
        self._connection.engine.connect(self._link, trio.current_time())
        self._connection.act()

    def ending(self) -> None:
        self._connection.engine.hold(self._link)

    def lost(self) -> None:
        self._connection.engine.disconnect(self._link, trio.current_time())
        self._connection.act()

    def missed(self) -> bool:
        self._connection.engine.miss(self._link, trio.current_time())
        self._connection.act()
        return bool(self._link.in_flight)

    def refused(self) -> None:
        self._connection.engine.bury(self._link, trio.current_time())
        self._connection.act()
