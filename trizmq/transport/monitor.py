"""What libzmq reports about the connections of one socket."""

from __future__ import annotations

import struct
from itertools import count
from typing import TYPE_CHECKING, Final, cast, final

import trio
import zmq

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Monitor"]

NOBLOCK: Final = int(zmq.NOBLOCK)
READABLE: Final = int(zmq.POLLIN)
EVENTS: Final = int(zmq.EVENTS)

_numbers = count(1)
_event = struct.Struct("=HI")


@final
class Monitor:
    """The events of ``watched``; it costs nothing where messages pass.

    libzmq's I/O thread writes them. If it could not, it would stand still, and every socket of
    the context with it: hence no high-water mark, and only the events that are wanted. Closed
    before ``watched``: a monitor that is left open keeps its context from ending.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], watched: zmq.Socket[bytes], events: int
    ) -> None:
        address = f"inproc://trizmq-monitor-{next(_numbers)}"
        watched.monitor(address, events)
        self._watched = watched
        self._socket = socket = context.socket(zmq.PAIR)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, 0)  # it counts only if it is set before `connect`
        socket.connect(address)
        self._fd = cast("int", socket.getsockopt(zmq.FD))
        self._is_awaited = False

    def take(self) -> Iterator[tuple[int, int]]:
        """Take what has happened since: (event, value). Cheap if nothing has."""
        while self._has_news():
            frame, _ = self._socket.recv_multipart(NOBLOCK)
            yield _event.unpack(frame)

    async def wait(self) -> None:
        """Sleep until there may be something to take, or until `wake`. A checkpoint."""
        if self._has_news():
            await trio.lowlevel.checkpoint()
            return
        self._is_awaited = True
        try:
            await trio.lowlevel.wait_readable(self._fd)
        except trio.ClosedResourceError:
            pass  # this is how `wake` does it
        finally:
            self._is_awaited = False

    def wake(self) -> None:
        """Wake the task that waits: another one has taken what it waits for."""
        if self._is_awaited:
            trio.lowlevel.notify_closing(self._fd)

    def close(self) -> None:
        """End it, before the socket that it watches. Safe to repeat."""
        if not self._socket.closed:
            self.wake()
            self._watched.disable_monitor()
            self._socket.close()

    def _has_news(self) -> bool:
        if self._socket.closed:
            return False
        return bool(cast("int", self._socket.getsockopt(EVENTS)) & READABLE)
