"""The broker, driven: reads the frontend, lets the engine decide, does what it says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, final

import trio

from ..engine.broker import Broker
from ..errors import RemoteProtocolError
from ..transport.face import PeerGone
from ..wire import dialects
from ..wire.batches import batches
from ..wire.return_path import MalformedCall
from .local_worker import LocalWorker
from .ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..app.application import App
    from ..engine.limits import Limits
    from ..transport.face import Router

__all__ = ["BrokerLoop"]

LOGGER = logging.getLogger("trizmq.broker")

#: Messages read in one pass; then whoever else is ready has a turn.
MESSAGES_A_PASS: Final = 256

#: Between two log lines about malformed messages, in seconds; the counters tell of all.
QUIET: Final = 10.0


@final
class BrokerLoop:
    """Joins a router, the engine and the worker of this process."""

    def __init__(
        self,
        router: Router,
        app: App,
        *,
        instance: str,
        capacity: int,
        limits: Limits,
        access_log: bool,
    ) -> None:
        self.broker = Broker(limits, instance=instance)
        self._router = router
        self._worker = LocalWorker(
            app,
            capacity=capacity,
            finish=self.broker.finish,
            flush=self.act,
            access_log=access_log,
        )
        self.broker.join(self._worker.record)
        self._ticker = Ticker(self.broker, self.act)
        self._nothing_in_flight = trio.Event()
        self._next_complaint = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; what is in flight then is cancelled, and answered 502."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._worker.run)
                nursery.start_soon(self._ticker.run)
                nursery.start_soon(self._read)
                task_status.started()
        finally:
            self.broker.drain()
            self.act()

    async def drain(self, grace: float) -> None:
        """Take no new calls; return when the running ones are answered, or cut off.

        Args:
          grace: seconds after which handlers that still run are cancelled.

        """
        self.broker.drain()
        self.act()
        with trio.move_on_after(grace):
            await self._nothing_in_flight.wait()
        self.broker.give_up_all()
        self.act()

    async def _read(self) -> None:
        while True:
            if self._read_some():
                await trio.lowlevel.checkpoint()
            else:
                await self._router.wait_readable()

    def _read_some(self) -> bool:
        """Take in what is there; return whether there may be more."""
        now = trio.current_time()
        receive, handle = self._router.receive_nowait, self._receive
        count = 0
        while count < MESSAGES_A_PASS and (message := receive()) is not None:
            count += 1
            handle(*message, now)
        if count:
            self.act()
        return count == MESSAGES_A_PASS

    def _receive(self, address: bytes, frames: list[bytes], now: float) -> None:
        try:
            received = dialects.read(frames)
        except MalformedCall as error:
            self.broker.refuse_malformed(address, error.return_path, error.status, str(error))
        except RemoteProtocolError as error:
            self.broker.counters.malformed += 1
            self._complain(error, now)
        else:
            if isinstance(received, dialects.ForeignCall):
                self.broker.receive_foreign(address, received.call, received.return_path, now)
            else:
                self.broker.receive(address, received, now, sum(map(len, frames)))

    def _complain(self, error: RemoteProtocolError, now: float) -> None:
        if now >= self._next_complaint:
            self._next_complaint = now + QUIET
            dropped = self.broker.counters.malformed
            LOGGER.warning("dropped a message (%d so far): %s", dropped, error)

    def act(self) -> None:
        """Do what the engine wants done, to the end: sending may bring it news."""
        outbox = self.broker.take_outbox()
        while not outbox.is_empty:
            if outbox.dispatched:
                self._worker.start(outbox.dispatched)
            if outbox.abandoned:
                self._worker.stop(outbox.abandoned)
            for address, items in outbox.items.items():
                for frames, count in batches(items):
                    self._send(address, frames, count)
            for address, frames in outbox.messages:
                self._send(address, frames, 1)
            outbox = self.broker.take_outbox()
        self._router.settle()
        self._ticker.reconsider()
        if self.broker.is_draining and not self.broker.in_flight:
            self._nothing_in_flight.set()

    def _send(self, address: bytes, frames: Sequence[bytes], count: int) -> None:
        try:
            self._router.send_nowait(address, frames)
        except trio.WouldBlock:
            self.broker.counters.slow += count
        except PeerGone:
            self.broker.counters.gone += count
            self.broker.lose(address)
