"""A DEALER that detects immediately when its connection begins and ends."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Final, final

import trio
import zmq

from .sockets import NOBLOCK, WRITABLE, ZmqSocket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .connections import Monitor

__all__ = ["CONNECTED", "ENDS", "ZmqDealer"]

#: The events for the end of a connection, or of an attempt to make one; and for its beginning.
ENDS: Final = int(zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
CONNECTED: Final = int(zmq.EVENT_CONNECTED)

#: The other end has closed the connection; 0 if the system does not report this.
HUNG_UP: Final[int] = getattr(select, "POLLRDHUP", 0)


@final
class ZmqDealer(ZmqSocket):
    """A connected DEALER; see `face.Dealer` for its guarantees."""

    def __init__(
        self, socket: zmq.Socket[bytes], monitor: Monitor, there: int, max_bytes: int
    ) -> None:
        super().__init__(socket, max_bytes)
        self._there = there
        self._monitor = monitor
        self._is_connected = self._is_lost = False
        self._connection: int | None = None  # its descriptor, which belongs to libzmq

    async def wait_connected(self) -> bool:
        while not self.is_lost and not self._is_connected:
            await self._monitor.wait()
        return self._is_connected

    async def wait_lost(self) -> None:
        while not self.is_lost:
            await self._monitor.wait()
        await trio.lowlevel.checkpoint()

    @property
    def is_lost(self) -> bool:
        for event, value in self._monitor.take():
            if event & ENDS:
                self._is_lost = True
                self._monitor.wake()
            elif event == CONNECTED:
                self._connection = value
            self._is_connected |= bool(event & self._there)
        return self._is_lost

    @property
    def is_ending(self) -> bool:
        # libzmq's thread learns of this on its next turn: on a busy machine, milliseconds later.
        if self.is_lost or self._connection is None or not HUNG_UP:
            return self._is_lost
        poll = select.poll()
        poll.register(self._connection, HUNG_UP)
        return bool(poll.poll(0))

    def close(self, linger: float = 0) -> None:
        self._is_lost = True
        self._monitor.close()
        super().close(linger)

    def receive_nowait(self) -> list[bytes] | None:
        if self._is_skipping and not self._has_skipped():
            return None
        try:
            return self._receive_frames(NOBLOCK)
        except zmq.Again:
            return None

    def send_nowait(self, frames: Sequence[bytes]) -> None:
        try:
            self._send_frames(frames)
        except zmq.Again:
            self._wanted |= WRITABLE  # room must wake the reader too, if it sleeps
            raise trio.WouldBlock from None
        except zmq.ZMQError:
            if self.is_closed:
                raise trio.ClosedResourceError("this socket was closed") from None
            raise
