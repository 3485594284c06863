"""The broker's driver: reads the sockets, calls the engine, and acts on its outbox."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, final

import trio

from ..ticker import Faults, Ticker
from .client_socket import ClientSocket
from .worker_socket import WorkerSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .. import messages
    from ..errors import RemoteProtocolError
    from ..hook_values import Event
    from ..transport.face import Router
    from ..wire.items import Call, Head, Part, Response, Takes
    from .calls import Flight
    from .clients import LocalPeer
    from .engine import Broker
    from .outbox import Outbox

__all__ = ["BrokerLoop", "LocalWorker"]

LOGGER = logging.getLogger("trizmq.broker")

#: The maximum number of messages read before other tasks run.
MESSAGES_A_PASS: Final = 256

#: Seconds between two log lines about malformed messages; the counters count all of them.
QUIET: Final = 10.0

_Socket: TypeAlias = ClientSocket | WorkerSocket


class LocalWorker(Protocol):
    """The interface of the worker in the broker's own process."""

    async def run(self, *, task_status: trio.TaskStatus[None] = ...) -> None: ...
    def start(self, flights: Sequence[Any]) -> None: ...
    def stop(self, flights: Sequence[Any]) -> None: ...
    def grant(self, flight: Any, more: int) -> None: ...


@final
class BrokerLoop:
    """Connects the broker's engine to its sockets, and to a worker and clients in this process.

    Add the first sockets with `add_clients`, `add_workers` or `add_both` before `run`. Others can
    be added and removed while it runs: see `serve`.

    ``observe`` is called with every event.
    """

    def __init__(
        self, broker: Broker, *, observe: Callable[[Event], None] = lambda _: None
    ) -> None:
        self.broker = broker
        self.local: LocalWorker | None = None
        self._outbox = broker.context.outbox
        self._sockets: list[_Socket] = []
        self._readers: list[_Socket] = []
        self._observe = observe
        self._faults = Faults(LOGGER)
        self._ticker = Ticker(broker, self.act, self._faults)
        self._nothing_in_flight = trio.Event()
        self._clock = trio.lowlevel.current_clock().current_time
        self._now = self._clock()
        self._next_complaint = 0.0
        self._clients: dict[object, Callable[[Response | Head | Part], None]] = {}

    # -- sockets -----------------------------------------------------------------------

    def add_clients(self, router: Router) -> ClientSocket:
        """Let clients connect to ``router``."""
        socket = ClientSocket(self.broker, router, self._drop)
        self._sockets.append(socket)
        self._readers.append(socket)
        return socket

    def add_workers(self, router: Router) -> WorkerSocket:
        """Let workers connect to ``router``."""
        socket = WorkerSocket(self.broker, router, self._drop)
        self._sockets.append(socket)
        self._readers.append(socket)
        return socket

    def add_both(self, router: Router) -> ClientSocket:
        """Let clients and workers connect to ``router``."""
        workers = WorkerSocket(self.broker, router, self._drop, is_shared=True)
        clients = ClientSocket(self.broker, router, self._drop, workers)
        self._sockets += [clients, workers]
        self._readers.append(clients)
        return clients

    async def serve(
        self, socket: _Socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve ``socket``, which was added while this runs, until cancelled; then remove it.

        Calls of its clients that are in flight end with a 502 or 503, and its clients and workers
        get a goaway. Calls of its workers that may be repeated go to other workers. The caller
        closes the router.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, socket)
                nursery.start_soon(self._watch, socket)
                task_status.started()
        finally:
            self._remove(socket)

    def _remove(self, socket: _Socket) -> None:
        now = trio.current_time()
        self._readers.remove(socket)
        shared = socket.workers if isinstance(socket, ClientSocket) else None
        for one in [socket] if shared is None else [socket, shared]:
            one.port.say_goodbye(now)
            self.act()
            self._sockets.remove(one)
            one.remove(now)
        self.act()

    # -- running -----------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then cancel the calls in flight, which end with a 502 or 503."""
        try:
            async with trio.open_nursery() as nursery:
                if self.local is not None:
                    await nursery.start(self.local.run)
                nursery.start_soon(self._ticker.run)
                for socket in self._readers:
                    nursery.start_soon(self._read, socket)
                    nursery.start_soon(self._watch, socket)
                task_status.started()
        finally:
            self._leave()

    def finish(self, flight: Flight, response: messages.Response | None) -> None:
        """Record the end of a call at the worker of this process."""
        # Read the clock only if needed: that costs as much as all that the engine does here.
        now = self._clock() if flight.is_measured else self._now
        self.broker.finish(flight, response, now)

    def begin(self, flight: Flight, head: messages.Response) -> None:
        """Take the head of a streamed response from the worker of this process."""
        self.broker.begin(flight, head, self._now)

    def part(self, flight: Flight, body: bytes) -> None:
        """Handle a part of a response of the worker of this process."""
        self.broker.part(flight, body, self._now)

    def takes(self, flight: Flight) -> Takes:
        """Return the size limits of the client that made the call."""
        return flight.peer.takes

    async def drain(self, grace: float) -> None:
        """Refuse new calls; return when the running ones have ended or were cancelled.

        Args:
          grace: seconds after which handlers that still run are cancelled.

        """
        self.broker.drain()
        self.act()
        with trio.move_on_after(grace):
            await self._nothing_in_flight.wait()
        self.broker.give_up_all(trio.current_time())
        self.act()

    def _leave(self) -> None:
        if not self.broker.is_draining:
            self.broker.drain()
        now = trio.current_time()
        self.broker.give_up_all(now)
        self.broker.say_goodbye(now)
        self.act()

    # -- reading -----------------------------------------------------------------------

    async def _read(self, socket: _Socket) -> None:
        while True:
            if self._read_some(socket):
                await trio.lowlevel.checkpoint()
            else:
                await socket.router.wait_readable()

    async def _watch(self, socket: _Socket) -> None:
        """Notice immediately when a native peer is not connected any more."""
        while True:
            gone = await socket.router.wait_gone()
            # First read their last messages: a worker's responses and its goodbye.
            self._read_some(socket)
            for address in gone:
                socket.lose(address)
            self.act()
            socket.router.settle()

    def _read_some(self, socket: _Socket) -> bool:
        """Handle the messages that have arrived; return whether there may be more."""
        self._now = now = trio.current_time()
        take = socket.router.receive_nowait
        receive = socket.receive
        count = 0
        while count < MESSAGES_A_PASS and (message := take()) is not None:
            count += 1
            address, frames = message
            try:
                receive(address, frames, now)
            except Exception as error:
                socket.survive(error, address, frames)
        if count:
            self.act()
        return count == MESSAGES_A_PASS

    def _drop(self, error: RemoteProtocolError, now: float) -> None:
        """Count a message in no known dialect, and log some of these."""
        self.broker.counters.malformed += 1
        if now >= self._next_complaint:
            self._next_complaint = now + QUIET
            dropped = self.broker.counters.malformed
            LOGGER.warning("dropped a message (%d so far): %s", dropped, error)

    # -- clients in this process -------------------------------------------------------

    def add_client(
        self, instance: str, receive: Callable[[Response | Head | Part], None]
    ) -> LocalPeer:
        """Return a new client in this process; ``receive`` is called with each item for it."""
        peer = self.broker.local.add(instance)
        self._clients[peer] = receive
        return peer

    def remove_client(self, peer: LocalPeer) -> None:
        """Remove a client in this process, and cancel its calls."""
        del self._clients[peer]
        self.broker.local.remove(peer, trio.current_time())
        self.act()

    def submit(self, peer: LocalPeer, calls: Sequence[Call], now: float) -> None:
        """Handle calls of a client in this process."""
        for call in calls:
            self.broker.local.submit(peer, call, now)
        self.act()

    def cancel(self, peer: LocalPeer, call_ids: Sequence[int]) -> None:
        """Cancel calls of a client in this process."""
        for call_id in call_ids:
            self.broker.local.cancel(peer, call_id, trio.current_time())
        self.act()

    def grant(self, peer: LocalPeer, call_id: int, more: int) -> None:
        """Accept ``more`` further bytes of a streamed response to a client in this process."""
        self.broker.local.grant(peer, call_id, more, trio.current_time())
        self.act()

    # -- doing -------------------------------------------------------------------------

    def act(self) -> None:
        """Empty the outboxes; repeat this, because doing so may fill them again."""
        while self._act_once():
            pass
        for socket in self._sockets:
            socket.settle()
        self._ticker.reconsider()
        if self.broker.is_draining and not self.broker.in_flight:
            self._nothing_in_flight.set()

    def _act_once(self) -> bool:
        """Empty the outboxes once; return whether anything was in them."""
        was_busy = False
        if not self._outbox.is_empty:
            was_busy = True
            self._do(self._outbox.take())
        for socket in self._sockets:
            if not socket.outbox.is_empty:
                was_busy = True
                socket.deliver()
        return was_busy

    def _do(self, outbox: Outbox) -> None:
        if self.local is not None:
            if outbox.started:
                self.local.start(outbox.started)
            if outbox.stopped:
                self.local.stop(outbox.stopped)
            for flight, more in outbox.granted:
                self.local.grant(flight, more)
        for peer, item in outbox.answered:
            if peer in self._clients:
                self._clients[peer](item)
        for event in outbox.events:
            try:
                self._note(event)
            except Exception as fault:
                self.broker.note_fault(fault)
        for error in outbox.faults:
            self._faults.note(error, "handling a message")

    def _note(self, event: Event) -> None:
        if event.kind == "worker-refused":
            LOGGER.warning("refused a worker that speaks %s: %s", event.name, event.reason)
        elif event.kind.startswith("worker"):
            level = logging.WARNING if event.kind == "worker-lost" else logging.INFO
            services = ", ".join(event.services)
            LOGGER.log(level, "%s: %s (%s): %s", event.kind, event.name, services, event.reason)
            if event.kind == "worker-lost":
                for socket in self._sockets:
                    if isinstance(socket, WorkerSocket):
                        socket.disconnect_lost()
        elif event.kind == "oversize":
            LOGGER.error("%s", event.reason)
        self._observe(event)
