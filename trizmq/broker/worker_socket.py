"""A socket for workers: passes messages between a router and a `Backend`."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

from ..errors import RemoteProtocolError
from ..transport.face import PeerGone
from ..wire import reading
from ..wire.items import Call, Hello
from ..wire.native import batches
from ..wire.return_path import MalformedCall, MalformedCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..transport.face import Router
    from ..wire.items import Item
    from .engine import Broker

__all__ = ["WorkerSocket"]


@final
class WorkerSocket:
    """Connects a router to a `Backend` of the engine.

    Args:
      drop: called with the error and the time for a message in no known dialect.
      is_shared: whether clients connect to the same router.

    """

    def __init__(
        self,
        broker: Broker,
        router: Router,
        drop: Callable[[RemoteProtocolError, float], None],
        *,
        is_shared: bool = False,
    ) -> None:
        self.router = router
        self.port = broker.add_backend()
        self.outbox = self.port.outbox
        self._broker = broker
        self._drop = drop
        self._is_shared = is_shared
        self._reply_frames = broker.limits.reply_frames

    # -- reading -----------------------------------------------------------------------

    def receive(self, address: bytes, frames: list[bytes], now: float) -> None:
        """Handle a message."""
        try:
            received = reading.read_worker(frames, self._reply_frames)
        except MalformedCommand as error:
            self.port.refuse_unreadable(address, error.dialect, str(error), now)
        except RemoteProtocolError as error:
            if address in self.port.workers:
                self.port.refuse_unreadable(address, None, str(error), now)
                return
            self._drop(error, now)
            if isinstance(error, MalformedCall):
                refused = self._broker.refused_workers
                refused.answer_client(self.outbox, address, error.return_path)
        else:
            if isinstance(received, reading.ForeignCommand):
                self.port.receive_command(address, received.dialect, received.command, now)
            else:
                if type(received[0]) is Hello:
                    self.router.watch(address)
                size = sum(map(len, frames)) if len(frames) > 1 else 0
                self.port.receive(address, received, now, size)

    def survive(self, error: Exception, address: bytes, frames: list[bytes]) -> None:
        """Record a fault in handling a message."""
        self._broker.note_fault(error)

    def lose(self, address: bytes) -> None:
        """Record that a native worker is not connected any more."""
        self.port.lose(address, trio.current_time(), "its connection has ended")

    def disconnect_lost(self) -> None:
        """End the connections of workers whose sessions have ended.

        As long as a worker is connected, even if it hangs, its unread messages stay in memory.
        """
        if not self._is_shared:
            self.router.disconnect(lambda address: address not in self.port.workers)

    # -- sending -----------------------------------------------------------------------

    def deliver(self) -> None:
        """Send what is in the outbox; calls that cannot be sent go elsewhere, or end."""
        for address, items in self.outbox.take_items().items():
            left_out: list[Item] = []
            most, sent = self.port.message_bytes(address), 0
            for frames, count in batches(items, most, left_out):
                reason = self._send(address, frames)
                if reason is not None:
                    self._give_up(address, reason, items, sent, left_out)
                    break
                sent += count
            for item in left_out:
                self.port.take_back(address, item)
        for address, frames in self.outbox.take_messages():
            reason = self._send(address, frames)
            if reason is not None:
                self.port.lose(
                    address, trio.current_time(), reason, frames
                )  # one of the frames is the token of a call

    def remove(self, now: float) -> None:
        """Remove the port from the engine."""
        self._broker.remove_backend(self.port, now)

    def settle(self) -> None:
        """End a group of sends."""
        self.router.settle()

    def _send(self, address: bytes, frames: Sequence[bytes]) -> str | None:
        """Send one message; return the reason if it certainly was not sent, or None."""
        try:
            self.router.send_nowait(address, frames)
        except trio.WouldBlock:
            return "it reads too slowly"
        except PeerGone:
            return "it is not connected"
        except trio.ClosedResourceError:
            raise
        except Exception as error:
            self._broker.note_fault(error)
            self.port.lose(address, trio.current_time(), "the broker failed to send to it")
        return None

    def _give_up(
        self,
        address: bytes,
        reason: str,
        items: Sequence[Item],
        sent: int,
        left_out: Sequence[Item],
    ) -> None:
        """Abandon a worker; of ``items``, only the first ``sent`` were sent to it."""
        written = [item for item in items if not any(item is one for one in left_out)]
        tokens = [item.id for item in written[sent:] if isinstance(item, Call)]
        self.port.lose(address, trio.current_time(), reason, tokens)
