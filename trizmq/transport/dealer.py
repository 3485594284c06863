"""A DEALER that knows at once when its connection begins and ends."""

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

#: How the end of a connection, or of the attempt to make one, is reported; and its beginning.
ENDS: Final = int(zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
CONNECTED: Final = int(zmq.EVENT_CONNECTED)

#: The other end has closed the connection; 0 where the system does not tell.
HUNG_UP: Final[int] = getattr(select, "POLLRDHUP", 0)


@final
class ZmqDealer(ZmqSocket):
    """A connected DEALER; see `face.Dealer` for what it promises."""

    def __init__(
        self, socket: zmq.Socket[bytes], monitor: Monitor, there: int, max_bytes: int
    ) -> None:
        super().__init__(socket, max_bytes)
        self._there = there
        self._monitor = monitor
        self._is_connected = self._is_lost = False
        self._connection: int | None = None  # its descriptor; it is libzmq's

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
        # libzmq's thread hears of it as soon as it has a turn: some milliseconds on a busy machine.
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
            self._wanted |= WRITABLE  # the reader, if it sleeps, is to be woken by room too
            raise trio.WouldBlock from None
        except zmq.ZMQError:
            if self.is_closed:
                raise trio.ClosedResourceError("this socket was closed") from None
            raise
