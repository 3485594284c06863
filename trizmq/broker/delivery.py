"""What the broker's engine wants sent: written, sent, and taken back where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import trio

from ..transport.face import PeerGone
from ..wire.batches import batches
from ..wire.items import Call, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..transport.face import Router
    from ..wire.items import Item
    from .engine import Broker
    from .outbox import Outbox

__all__ = ["Delivery"]


@final
class Delivery:
    """Sends what is in an outbox, and tells the engine what could not be sent."""

    def __init__(self, broker: Broker, frontend: Router, backend: Router | None) -> None:
        self._broker = broker
        self._frontend = frontend
        self._backend = backend
        # Clients that do not read, and have been told in this round that their calls have ended.
        self._told: set[bytes] = set()

    def settle(self) -> None:
        """End a group of sends."""
        if self._told:
            self._told.clear()
        self._frontend.settle()

    def to_clients(self, outbox: Outbox) -> None:
        """Send clients what they are to be told; give up those that do not read, or have gone."""
        for address, items in outbox.items.items():
            self._send_items(address, items)
        for address, frames in outbox.messages:
            try:
                if not self._send(address, frames):
                    self._broker.counters.gone += 1
                    self._broker.lose(address)
            except trio.WouldBlock:
                self._give_up(address, ())

    def _send_items(self, address: bytes, items: Sequence[Item]) -> None:
        sent = 0
        for frames, count in batches(items, self._broker.client_message_bytes(address)):
            try:
                if not self._send(address, frames):
                    self._broker.miss(address, items[sent:], trio.current_time())
                    return
            except trio.WouldBlock:
                self._give_up(address, items[sent:])
                return
            sent += count

    def _give_up(self, address: bytes, unsent: Sequence[Item]) -> None:
        """End the calls of a client that does not read; not twice, if it cannot even be told."""
        self._broker.counters.slow += len(unsent) or 1
        if address not in self._told:
            self._told.add(address)
            self._broker.give_up_slow(address, [one for one in unsent if type(one) is Response])

    def _send(self, address: bytes, frames: Sequence[bytes]) -> bool:
        """Send one message; return False if nobody is connected at ``address``.

        Raises:
          trio.WouldBlock: somebody is, and does not read.

        """
        try:
            self._frontend.send_nowait(address, frames, beyond=address in self._told)
        except trio.WouldBlock:
            raise
        except PeerGone:
            return False
        except trio.ClosedResourceError:
            raise
        except Exception as error:
            self._broker.note_fault(error)
        return True

    def to_workers(self, outbox: Outbox) -> None:
        """Send workers what they are given; what one cannot be given goes elsewhere, or ends."""
        for address, items in outbox.worker_items.items():
            left_out: list[Item] = []
            most, sent = self._broker.worker_message_bytes(address), 0
            for frames, count in batches(items, most, left_out):
                reason = self._send_to_worker(address, frames)
                if reason is not None:
                    self._note_unsent(address, reason, items, sent, left_out)
                    break
                sent += count
            for item in left_out:
                self._broker.take_back(address, item)
        for address, frames in outbox.worker_messages:
            reason = self._send_to_worker(address, frames)
            if reason is not None:
                self._broker.lose_worker(address, reason, frames)  # a call's token is one of them
        assert self._backend is not None
        self._backend.settle()

    def _send_to_worker(self, address: bytes, frames: Sequence[bytes]) -> str | None:
        """Send one message; return why nothing of it could be sent, or None."""
        assert self._backend is not None
        try:
            self._backend.send_nowait(address, frames)
        except trio.WouldBlock:
            return "it reads too slowly"
        except PeerGone:
            return "it is not connected"
        except trio.ClosedResourceError:
            raise
        except Exception as error:
            self._broker.note_fault(error)
            self._broker.lose_worker(address, "the broker failed at sending to it")
        return None

    def _note_unsent(
        self,
        address: bytes,
        reason: str,
        items: Sequence[Item],
        sent: int,
        left_out: Sequence[Item],
    ) -> None:
        """Give up a worker; of ``items``, all but the first ``sent`` it was certainly not given."""
        written = [item for item in items if not any(item is one for one in left_out)]
        tokens = [item.id for item in written[sent:] if isinstance(item, Call)]
        self._broker.lose_worker(address, reason, tokens)
