"""Connections of a socket: libzmq's reports about them, and closing one of them."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final, cast, final

import trio
import zmq

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "FIRST",
    "NEXT",
    "Monitor",
    "check_descriptors",
    "connection_at",
    "cut",
    "shut_down",
]

NOBLOCK: Final = int(zmq.NOBLOCK)
READABLE: Final = int(zmq.POLLIN)
EVENTS: Final = int(zmq.EVENTS)
_numbers = count(1)
_event = struct.Struct("=HI")


@final
class Monitor:
    """The events of ``watched``, without any cost for its messages.

    libzmq's I/O thread writes them. If it were blocked, every socket of the context would be
    blocked too, so there is no high-water mark, and only the requested events are reported.
    Close it before ``watched``: an open monitor keeps its context from ending.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], watched: zmq.Socket[bytes], events: int
    ) -> None:
        address = f"inproc://trizmq-monitor-{next(_numbers)}"
        watched.monitor(address, events)
        self._watched = watched
        self._socket = socket = context.socket(zmq.PAIR)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, 0)  # takes effect only if set before `connect`
        socket.connect(address)
        self._fd = cast("int", socket.getsockopt(zmq.FD))
        self._is_awaited = False

    def take(self) -> Iterator[tuple[int, int]]:
        """Yield the events since the last call: (event, value). Cheap if there are none."""
        while self._has_news():
            frame, _ = self._socket.recv_multipart(NOBLOCK)
            yield _event.unpack(frame)

    async def wait(self) -> None:
        """Sleep until there may be an event, or until `wake`. A checkpoint."""
        if self._has_news():
            await trio.lowlevel.checkpoint()
            return
        self._is_awaited = True
        try:
            await trio.lowlevel.wait_readable(self._fd)
        except trio.ClosedResourceError:
            pass  # this is the effect of `wake`
        finally:
            self._is_awaited = False

    def wake(self) -> None:
        """Wake the waiting task, because another task has taken the event that it waits for."""
        if self._is_awaited:
            trio.lowlevel.notify_closing(self._fd)

    def close(self) -> None:
        """Close the monitor, before the socket that it watches. Safe to repeat."""
        if not self._socket.closed:
            self.wake()
            self._watched.disable_monitor()
            self._socket.close()

    def _has_news(self) -> bool:
        if self._socket.closed:
            return False
        return bool(cast("int", self._socket.getsockopt(EVENTS)) & READABLE)


def cut(frame: zmq.Frame, endpoints: Sequence[str]) -> bool:
    """Close the connection that delivered ``frame``, if it still exists; return whether it did.

    The frame has only the descriptor. Its connection may have ended in the meantime, and the
    number may belong to another connection, or to a file. Therefore the local end must be one
    of ``endpoints``, and the remote end must match the origin of the frame. If it is still a
    different connection, it is from the same machine, and will reconnect.
    """
    try:
        # Duplicate it, because libzmq closes its own. The shutdown affects the shared connection.
        with socket.socket(fileno=os.dup(frame.get(zmq.SRCFD))) as connection:
            if _is_it(connection, str(frame.get("Peer-Address")), endpoints):
                connection.shutdown(socket.SHUT_RDWR)
                return True
    except (OSError, zmq.ZMQError):
        pass  # no descriptor, not a socket, or not connected: it has ended by itself
    return False


def shut_down(fd: int, connection: int) -> None:
    """Close the connection at ``fd``, if `connection_at` still returns the same for it."""
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as copy:
        if connection_at(copy.fileno()) == connection:
            copy.shutdown(socket.SHUT_RDWR)


def connection_at(fd: int) -> int:
    """Return a number that no other connection has; 0 if the descriptor is closed."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return 0


def _is_it(connection: socket.socket, peer: str, endpoints: Sequence[str]) -> bool:
    here = connection.getsockname()
    if connection.family == getattr(socket, "AF_UNIX", None):  # not available on Windows
        return f"ipc://{os.fsdecode(here)}" in endpoints
    there = connection.getpeername()[0].removeprefix("::ffff:")
    is_from_there = there == peer.strip("[]").removeprefix("::ffff:")
    return is_from_there and any(one.endswith(f":{here[1]}") for one in endpoints)


#: Pairs of descriptors that a ZeroMQ context needs with its first socket, and for each further one.
FIRST: Final = 8
NEXT: Final = 3


def check_descriptors(pairs: int) -> None:
    """Check that descriptors are available, because libzmq aborts the process if there are none.

    Raises:
      OSError: if too few are left.

    """
    held: list[int] = []
    try:
        for _ in range(pairs):
            held += os.pipe()
    finally:
        for descriptor in held:
            with suppress(OSError):
                os.close(descriptor)
