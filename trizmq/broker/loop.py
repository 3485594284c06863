"""The broker, driven: reads its sockets, lets the engine decide, does what it says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, final

import trio

from ..errors import RemoteProtocolError
from ..ticker import Faults, Ticker
from ..wire import dialects
from ..wire.items import Hello
from ..wire.native import LARGE
from ..wire.return_path import MalformedCall, MalformedCommand
from .delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import messages
    from ..admission import Event
    from ..transport.face import Router
    from ..wire.items import Item
    from ..worker.runner import LocalWorker
    from .calls import Flight
    from .engine import Broker
    from .outbox import Outbox

__all__ = ["BrokerLoop"]


LOGGER = logging.getLogger("trizmq.broker")


#: Messages read in one pass; then whoever else is ready has a turn.
MESSAGES_A_PASS: Final = 256


#: The answer to a message at which the code that reads it has failed.
UNREADABLE: Final = "this message cannot be read"


#: Why a worker is sent away that connects where clients do.
MISPLACED: Final = "this port is for clients: workers connect to the endpoint of --backend"


#: Between two log lines about malformed messages, in seconds; the counters tell of all.
QUIET: Final = 10.0


@final
class BrokerLoop:
    """Joins the broker's engine with its sockets and the worker of this process.

    Args:
      broker: the engine.
      frontend: where clients are.
      backend: where workers are: None for nowhere, or the frontend itself (RFC 7 allows one
        socket for both).
      observe: told of every event.

    """

    def __init__(
        self,
        broker: Broker,
        frontend: Router,
        backend: Router | None = None,
        *,
        observe: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self.broker = broker
        self.local: LocalWorker[Flight] | None = None
        self._frontend = frontend
        self._backend = backend
        self._is_shared = backend is frontend
        limits = broker.limits
        frontend.bound_unsent(
            limits.client_bytes, limits.broker_bytes, beside=lambda: broker.held_bytes
        )
        self._delivery = Delivery(broker, frontend, backend)
        self._crowded = broker.slow_clients = frontend.crowded
        self._observe = observe
        self._faults = Faults(LOGGER)
        self._ticker = Ticker(broker, self.act, self._faults)
        self._nothing_in_flight = trio.Event()
        self._clock = trio.lowlevel.current_clock().current_time
        self._next_complaint = 0.0
        self._request_frames = broker.limits.request_frames
        self._reply_frames = broker.limits.reply_frames

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; what is in flight then is cancelled, and answered 502."""
        try:
            async with trio.open_nursery() as nursery:
                if self.local is not None:
                    await nursery.start(self.local.run)
                nursery.start_soon(self._ticker.run)
                nursery.start_soon(self._read, self._frontend, self._receive_client)
                nursery.start_soon(self._watch, self._frontend)
                if self._backend is not None and not self._is_shared:
                    nursery.start_soon(self._read, self._backend, self._receive_worker)
                    nursery.start_soon(self._watch, self._backend)
                task_status.started()
        finally:
            self._leave()

    def finish(self, flight: Flight, response: messages.Response | None) -> None:
        """Be told by the worker of this process that it is done with ``flight``."""
        # The time only where it is looked at: it costs as much as all that the engine does here.
        self.broker.finish(flight, response, self._clock() if flight.is_measured else None)

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

    def _leave(self) -> None:
        if not self.broker.is_draining:
            self.broker.drain()
        self.broker.give_up_all()
        self.broker.say_goodbye()
        self.broker.dismiss_workers()
        self.act()

    # -- reading -----------------------------------------------------------------------

    async def _read(
        self, router: Router, receive: Callable[[bytes, list[bytes], float], None]
    ) -> None:
        while True:
            if self._read_some(router, receive):
                await trio.lowlevel.checkpoint()
            else:
                await router.wait_readable()

    async def _watch(self, router: Router) -> None:
        """Notice at once that a native peer is not connected any more."""
        while True:
            for address in await router.wait_gone():
                if self.broker.is_worker(address):
                    self.broker.lose_worker(address, "its connection has ended")
                else:
                    self.broker.miss(address, [], trio.current_time())
            self.act()

    def _read_some(
        self, router: Router, receive: Callable[[bytes, list[bytes], float], None]
    ) -> bool:
        """Take in what is there; return whether there may be more."""
        now = trio.current_time()
        take = router.receive_nowait
        count = 0
        while count < MESSAGES_A_PASS and (message := take()) is not None:
            count += 1
            try:
                receive(*message, now)
            except Exception as error:
                self._survive(error, router, *message)
        if count:
            self.act()
        return count == MESSAGES_A_PASS

    def _receive_client(self, address: bytes, frames: list[bytes], now: float) -> None:
        if self._is_shared and self._is_from_worker(address, frames):
            self._receive_worker(address, frames, now)
            return
        if self._crowded or (frames and len(frames[-1]) > LARGE):
            self._note_unsent(address)
        try:
            received = dialects.read(frames, self._request_frames)
        except MalformedCall as error:
            self.broker.refuse_malformed(address, error.return_path, error.status, str(error))
        except MalformedCommand as error:
            self.broker.counters.malformed += 1
            refused = self.broker.refused_workers
            refused.refuse(address, error.dialect, MISPLACED, now, at_frontend=True)
        except RemoteProtocolError as error:
            self._drop(error, now)
        else:
            if isinstance(received, dialects.ForeignCall):
                self.broker.receive_foreign(address, received.call, received.return_path, now)
                return
            if type(received[0]) is Hello:
                self._frontend.watch(address)
            if _opens_work(received):
                self._greet_worker(address, received, now)
            else:
                self.broker.receive(address, received, now, sum(map(len, frames)))

    def _note_unsent(self, address: bytes) -> None:
        if address in self._crowded:
            self._frontend.unsent(address)  # it may have read since
        self.broker.note_unsent(self._frontend.unsent_bytes)

    def _greet_worker(self, address: bytes, items: list[Item], now: float) -> None:
        if self._is_shared:
            self.broker.receive_worker(address, items, now)
        else:
            refused = self.broker.refused_workers
            refused.refuse_native(address, "frontend", MISPLACED, now, at_frontend=True)

    def _is_from_worker(self, address: bytes, frames: list[bytes]) -> bool:
        return dialects.is_worker_command(frames) or self.broker.is_worker(address)

    def _receive_worker(self, address: bytes, frames: list[bytes], now: float) -> None:
        try:
            received = dialects.read_worker(frames, self._reply_frames)
        except MalformedCommand as error:
            self.broker.mdp.refuse(address, error.dialect, str(error), now)
        except RemoteProtocolError as error:
            if self.broker.is_worker(address):
                self.broker.mdp.refuse(address, None, str(error), now)
                return
            self._drop(error, now)
            if isinstance(error, MalformedCall):
                self.broker.refused_workers.answer_client(address, error.return_path)
        else:
            if isinstance(received, dialects.ForeignCommand):
                self.broker.receive_command(address, received.dialect, received.command, now)
            else:
                if type(received[0]) is Hello and self._backend is not None:
                    self._backend.watch(address)
                size = sum(map(len, frames)) if len(frames) > 1 else 0
                self.broker.receive_worker(address, received, now, size)

    def _survive(
        self, error: Exception, router: Router, address: bytes, frames: list[bytes]
    ) -> None:
        """Go on after a fault that a message brought out; answer it where that can be done."""
        self.broker.note_fault(error)
        if router is not self._frontend:
            return  # answers go out by the frontend, where the address is another peer's
        try:
            if not (self._is_shared and self._is_from_worker(address, frames)):
                return_path = dialects.return_path_of(frames)
                if return_path is not None:
                    self.broker.refuse_malformed(address, return_path, 400, UNREADABLE)
        except Exception as another:
            self.broker.note_fault(another)

    def _drop(self, error: RemoteProtocolError, now: float) -> None:
        self.broker.counters.malformed += 1
        if now >= self._next_complaint:
            self._next_complaint = now + QUIET
            dropped = self.broker.counters.malformed
            LOGGER.warning("dropped a message (%d so far): %s", dropped, error)

    # -- doing -------------------------------------------------------------------------

    def act(self) -> None:
        """Do what the engine wants done, to the end: doing it may bring it news."""
        outbox = self.broker.take_outbox()
        while not outbox.is_empty:
            if self.local is not None:
                self._work_here(self.local, outbox)
            self._delivery.to_clients(outbox)
            if outbox.worker_items or outbox.worker_messages:
                self._delivery.to_workers(outbox)
            for event in outbox.events:
                try:
                    self._note(event)
                except Exception as fault:
                    self.broker.note_fault(fault)
            for error in outbox.faults:
                self._faults.note(error, "taking in a message")
            outbox = self.broker.take_outbox()
        self._delivery.settle()
        self._ticker.reconsider()
        if self.broker.is_draining and not self.broker.in_flight:
            self._nothing_in_flight.set()

    def _work_here(self, local: LocalWorker[Flight], outbox: Outbox) -> None:
        if outbox.dispatched:
            local.start(outbox.dispatched)
        if outbox.abandoned:
            local.stop(outbox.abandoned)

    def _note(self, event: Event) -> None:
        if event.kind == "worker-refused":
            LOGGER.warning("refused a worker that speaks %s: %s", event.name, event.reason)
        elif event.kind.startswith("worker"):
            level = logging.WARNING if event.kind == "worker-lost" else logging.INFO
            services = ", ".join(event.services)
            LOGGER.log(level, "%s: %s (%s): %s", event.kind, event.name, services, event.reason)
            if event.kind == "worker-lost" and self._backend is not None and not self._is_shared:
                # Unread messages stay in memory for as long as a worker that hangs is connected.
                self._backend.disconnect(lambda address: not self.broker.is_worker(address))
        elif event.kind == "oversize":
            LOGGER.error("%s", event.reason)
        self._observe(event)


def _opens_work(items: list[Item]) -> bool:
    first = items[0]
    return isinstance(first, Hello) and bool(first.services)
