"""A socket for clients: passes messages between a router and a `Frontend`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import trio

from ..errors import RemoteProtocolError
from ..transport.face import PeerGone
from ..wire import reading
from ..wire.items import Hello, Response
from ..wire.native import LARGE, batches
from ..wire.return_path import MalformedCall, MalformedCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..transport.face import Router
    from ..wire.items import Item
    from .engine import Broker
    from .worker_socket import WorkerSocket

__all__ = ["ClientSocket"]

#: The detail of the response to a message that the broker failed to handle.
UNREADABLE: Final = "this message cannot be read"

#: The reason to refuse a worker at a socket for clients.
MISPLACED: Final = "this port is for clients: workers connect to the endpoint of --backend"


@final
class ClientSocket:
    """Connects a router to a `Frontend` of the engine.

    Args:
      drop: called with the error and the time for a message in no known dialect.
      workers: the socket for workers, if they share the router, as RFC 7 allows.

    """

    def __init__(
        self,
        broker: Broker,
        router: Router,
        drop: Callable[[RemoteProtocolError, float], None],
        workers: WorkerSocket | None = None,
    ) -> None:
        limits = broker.limits
        self.router = router
        self.port = port = broker.add_frontend()
        self.outbox = port.outbox
        router.bound_unsent(
            limits.client_bytes, limits.broker_bytes, beside=lambda: port.bytes_elsewhere
        )
        self._crowded = self.outbox.slow = router.crowded
        self._broker = broker
        self._drop = drop
        self.workers = workers
        self._request_frames = limits.request_frames
        # Clients that do not read, and whose calls were ended in this round.
        self._told: set[bytes] = set()

    # -- reading -----------------------------------------------------------------------

    def receive(self, address: bytes, frames: list[bytes], now: float) -> None:
        """Handle a message."""
        if self._is_from_worker(address, frames):
            assert self.workers is not None
            self.workers.receive(address, frames, now)
            return
        if self._crowded or (frames and len(frames[-1]) > LARGE):
            self._note_unsent(address)
        try:
            received = reading.read(frames, self._request_frames)
        except MalformedCall as error:
            self.port.refuse_malformed(address, error.return_path, error.status, str(error))
        except MalformedCommand as error:
            self._broker.counters.malformed += 1
            refused = self._broker.refused_workers
            refused.refuse(self.outbox, address, error.dialect, MISPLACED, now)
        except RemoteProtocolError as error:
            self._drop(error, now)
        else:
            if isinstance(received, reading.ForeignCall):
                self.port.receive_foreign(address, received.call, received.return_path, now)
                return
            first = received[0]
            if type(first) is Hello:
                self.router.watch(address)
                if first.services:
                    self._greet_worker(address, received, now)
                    return
            self.port.receive(address, received, now, sum(map(len, frames)))

    def _note_unsent(self, address: bytes) -> None:
        if address in self._crowded:
            self.router.unsent(address)  # it may have read since
        self.port.note_unsent(self.router.unsent_bytes)

    def _is_from_worker(self, address: bytes, frames: list[bytes]) -> bool:
        return self.workers is not None and (
            reading.is_worker_command(frames) or address in self.workers.port.workers
        )

    def _greet_worker(self, address: bytes, items: list[Item], now: float) -> None:
        if self.workers is not None:
            self.workers.port.receive(address, items, now)
        else:
            refused = self._broker.refused_workers
            refused.refuse_native(self.outbox, address, "frontend", MISPLACED, now)

    def survive(self, error: Exception, address: bytes, frames: list[bytes]) -> None:
        """Record a fault in handling a message, and respond to its sender if possible."""
        self._broker.note_fault(error)
        try:
            if not self._is_from_worker(address, frames):
                return_path = reading.return_path_of(frames)
                if return_path is not None:
                    self.port.refuse_malformed(address, return_path, 400, UNREADABLE)
        except Exception as another:
            self._broker.note_fault(another)

    def lose(self, address: bytes) -> None:
        """Record that a native peer is not connected any more."""
        if self.workers is not None and address in self.workers.port.workers:
            self.workers.lose(address)
        else:
            self.port.miss(address, [], trio.current_time())

    # -- sending -----------------------------------------------------------------------

    def deliver(self) -> None:
        """Send what is in the outbox; abandon clients that do not read, or have gone."""
        for address, items in self.outbox.take_items().items():
            self._send_items(address, items)
        for address, frames in self.outbox.take_messages():
            try:
                if not self._send(address, frames):
                    self._broker.counters.gone += 1
                    self.port.lose(address, trio.current_time())
            except trio.WouldBlock:
                self._give_up(address, ())

    def remove(self, now: float) -> None:
        """Remove the port from the engine."""
        self._broker.remove_frontend(self.port, now)

    def settle(self) -> None:
        """End a group of sends."""
        if self._told:
            self._told.clear()
        self.router.settle()

    def _send_items(self, address: bytes, items: Sequence[Item]) -> None:
        sent = 0
        for frames, count in batches(items, self.port.message_bytes(address)):
            try:
                if not self._send(address, frames):
                    self.port.miss(address, items[sent:], trio.current_time())
                    return
            except trio.WouldBlock:
                self._give_up(address, items[sent:])
                return
            sent += count

    def _give_up(self, address: bytes, unsent: Sequence[Item]) -> None:
        """End the calls of a client that does not read, once in each round."""
        self._broker.counters.slow += len(unsent) or 1
        if address not in self._told:
            self._told.add(address)
            responses = [one for one in unsent if type(one) is Response]
            self.port.give_up_slow(address, trio.current_time(), responses)

    def _send(self, address: bytes, frames: Sequence[bytes]) -> bool:
        """Send one message; return False if nothing is connected at ``address``.

        Raises:
          trio.WouldBlock: the client does not read.

        """
        try:
            self.router.send_nowait(address, frames, beyond=address in self._told)
        except trio.WouldBlock:
            raise
        except PeerGone:
            return False
        except trio.ClosedResourceError:
            raise
        except Exception as error:
            self._broker.note_fault(error)
        return True
