"""Connections of one socket: libzmq's reports about them, and closing one."""

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

__all__ = ["FIRST", "NEXT", "Monitor", "check_descriptors", "cut"]


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


def cut(frame: zmq.Frame, endpoints: Sequence[str]) -> bool:
    """Close the connection that ``frame`` came by, if it is still there; tell whether it was.

    The frame knows only the descriptor. Its connection may have ended meanwhile, and the number
    may be that of another one, or of a file: so it must be bound at one of ``endpoints``, where
    this end listens, and lead to where the frame came from. If it then still is another one, it is
    of the same machine, and connects anew.
    """
    try:
        # A copy: libzmq closes its own. What is shut down is the connection behind both.
        with socket.socket(fileno=os.dup(frame.get(zmq.SRCFD))) as connection:
            if _is_it(connection, str(frame.get("Peer-Address")), endpoints):
                connection.shutdown(socket.SHUT_RDWR)
                return True
    except (OSError, zmq.ZMQError):
        pass  # no descriptor, no socket, not connected: it has ended by itself
    return False


def _is_it(connection: socket.socket, peer: str, endpoints: Sequence[str]) -> bool:
    here = connection.getsockname()
    if connection.family == getattr(socket, "AF_UNIX", None):  # which Windows lacks
        return f"ipc://{os.fsdecode(here)}" in endpoints
    there = connection.getpeername()[0].removeprefix("::ffff:")
    is_from_there = there == peer.strip("[]").removeprefix("::ffff:")
    return is_from_there and any(one.endswith(f":{here[1]}") for one in endpoints)


#: What a ZeroMQ context needs with its first socket, and what another one does: pairs.
FIRST: Final = 8


NEXT: Final = 3


def check_descriptors(pairs: int) -> None:
    """Look before libzmq does: it ends the whole process where it finds no descriptor.

    Raises:
      OSError: too few are left.

    """
    held: list[int] = []
    try:
        for _ in range(pairs):
            held += os.pipe()
    finally:
        for descriptor in held:
            with suppress(OSError):
                os.close(descriptor)
