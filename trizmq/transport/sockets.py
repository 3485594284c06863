"""Sockets for Trio: libzmq's edge-triggered descriptor, and the ROUTER."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, cast, final

import trio
import zmq

from .connections import cut
from .endpoints import split_endpoints
from .face import PeerGone
from .unsent import Unsent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .connections import Monitor

__all__ = [
    "MAX_FRAMES",
    "NO_COPY",
    "SKIPPED_A_PASS",
    "ZmqRouter",
    "ZmqSocket",
]

#: A longer frame is sent without a copy. That has its price too: pyzmq keeps the frame until
#: libzmq lets go of it, and a thread of its own hears of that and waits for Python's lock. So
#: bodies of 64 KiB cost 10 to 15 % less CPU copied. Beyond 128 KiB it is a draw, unless the C
#: library asks the kernel for each copy's memory, as it does by itself: then copies cost more.
NO_COPY: Final = 128 * 1024

# As plain ints: combining pyzmq's enum members costs a microsecond each time.
NOBLOCK: Final = int(zmq.NOBLOCK)
MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
READABLE: Final = int(zmq.POLLIN)
WRITABLE: Final = int(zmq.POLLOUT)
EVENTS: Final = int(zmq.EVENTS)

#: No dialect has messages of more frames. The rest of one that has is skipped.
MAX_FRAMES: Final = 1025

#: Frames that are skipped in one go, in about a millisecond; then others have a turn.
SKIPPED_A_PASS: Final = 1000

#: A descriptor is closed a moment after its connection is reported as ended.
CLOSING_SECONDS: Final = 0.1


class ZmqSocket:
    # ZMQ_FD turns readable when libzmq has news. The news may concern either direction,
    # and any call into the socket may take it in and make the fd unreadable again
    # (zmq_getsockopt(3): "edge-triggered"). Hence two rules:
    #
    # 1. The reader sleeps only after ZMQ_EVENTS, read just now, lacked its flag; nothing
    #    is awaited between that look and wait_readable.
    # 2. Who has sent while the reader sleeps looks at ZMQ_EVENTS afterwards, and wakes it.
    #    notify_closing does that: it makes wait_readable raise, for what reason we know.
    #
    # Without the second, a busy service stalled for good within 0.6 s, 3 runs of 3.

    def __init__(self, socket: zmq.Socket[bytes], max_bytes: int) -> None:
        self._socket = socket
        self._max_bytes = max_bytes
        self._is_skipping = False
        self._receive = socket.recv
        # The backend's own: `zmq.Socket` first looks for what only draft sockets need, and
        # costs twice as much.
        self._send: Callable[[bytes, int, bool], object] = cast(
            "Any", super(zmq.Socket, socket)
        ).send
        self._option = socket.getsockopt
        self._fd = cast("int", socket.getsockopt(zmq.FD))
        self._reader_sleeps = False
        self._wanted = READABLE
        self._first: zmq.Frame | None = None

    async def wait_readable(self, *, or_writable: bool = False) -> None:
        if self._socket.closed:
            raise trio.ClosedResourceError("this socket was already closed")
        self._wanted = READABLE | WRITABLE if or_writable else READABLE
        if self._has_news():
            await trio.lowlevel.checkpoint()
            return
        self._reader_sleeps = True
        try:
            await trio.lowlevel.wait_readable(self._fd)
        except trio.ClosedResourceError:
            if self._socket.closed:
                raise
        finally:
            self._reader_sleeps = False

    def settle(self) -> None:
        if self._reader_sleeps and self._has_news():
            trio.lowlevel.notify_closing(self._fd)

    def _has_news(self) -> bool:
        return bool(cast("int", self._option(EVENTS)) & self._wanted)

    def _receive_frames(self, flags: int) -> list[bytes]:
        # The first frame decides; once it is there the others are too (ZeroMQ delivers
        # whole messages). Single calls cost half of what recv_multipart does.
        # And the frame itself knows if it is the last: ZMQ_RCVMORE costs 1.4 us a look.
        frame = self._receive(flags, False)
        self._first = frame
        frames = [frame.bytes]
        if frame.more:
            room = self._max_bytes - len(frames[0])
            while frame.more:
                frame = self._receive(0, False)
                frames.append(frame.bytes)
                room -= len(frames[-1])
                if len(frames) > MAX_FRAMES or room < 0:
                    # libzmq has all of it already, and no way to drop it: two million empty
                    # frames take two seconds to read. So it is read a little at a time.
                    self._is_skipping = frame.more
                    self._cut(frame)
                    return []
        return frames

    def _cut(self, frame: zmq.Frame) -> None:
        """End the connection by which ``frame`` has come."""

    def _has_skipped(self) -> bool:
        """Read on in a message that is too large; tell whether that was the rest of it."""
        for _ in range(SKIPPED_A_PASS):
            if not self._receive(NOBLOCK, False).more:
                self._is_skipping = False
                return True
        return False

    def _send_frames(self, frames: Sequence[bytes]) -> None:
        for frame in frames[:-1]:
            self._send(frame, MORE, len(frame) <= NO_COPY)
        last = frames[-1]
        self._send(last, NOBLOCK, len(last) <= NO_COPY)

    @property
    def is_closed(self) -> bool:
        return self._socket.closed

    def close(self, linger: float = 0) -> None:
        if not self._socket.closed:
            trio.lowlevel.notify_closing(self._fd)
            self._reader_sleeps = False  # it has been woken; `settle` must not look any more
            self._socket.close(linger=int(linger * 1000))


@final
class ZmqRouter(ZmqSocket):
    """A bound ROUTER; see `face.Router` for what it promises."""

    def __init__(
        self, socket: zmq.Socket[bytes], endpoint: str, monitor: Monitor, max_bytes: int
    ) -> None:
        super().__init__(socket, max_bytes)
        self.endpoint = endpoint
        self._unsent = Unsent()
        self._monitor = monitor
        #: Who is at the other end of a descriptor, and what identifies the connection itself: the
        #: next one gets the same number.
        self._watched: dict[int, tuple[bytes, int]] = {}

    def watch(self, peer: bytes) -> None:
        if self._first is not None:
            fd = self._first.get(zmq.SRCFD)
            self._watched[fd] = peer, _connection_at(fd)

    async def wait_gone(self) -> list[bytes]:
        while True:
            ended = [fd for _, fd in self._monitor.take() if fd in self._watched]
            gone = self._forget(ended)
            if len(gone) < len(ended):
                await trio.sleep(CLOSING_SECONDS)
                gone += self._forget(ended)
            if gone:
                return gone
            await self._monitor.wait()

    def _forget(self, ended: list[int]) -> list[bytes]:
        """Take out those whose connection is gone; another one may have its number by now."""
        gone = []
        for fd in ended:
            peer, connection = self._watched.get(fd, (b"", 0))
            if peer and _connection_at(fd) != connection:
                gone.append(peer)
                del self._watched[fd]
        return gone

    def close(self, linger: float = 0) -> None:
        self._monitor.close()
        super().close(linger)

    def _cut(self, frame: zmq.Frame) -> None:
        cut(frame, split_endpoints(self.endpoint))

    def receive_nowait(self) -> tuple[bytes, list[bytes]] | None:
        if self._is_skipping and not self._has_skipped():
            return None
        try:
            peer = self._receive(NOBLOCK)
        except zmq.Again:
            return None
        # A peer can send an address frame alone only by closing half-way; libzmq cuts that.
        return peer, self._receive_frames(NOBLOCK)

    def bound_unsent(self, each: int, together: int) -> None:
        self._unsent.bound(each, together)

    @property
    def crowded(self) -> set[bytes]:
        return self._unsent.crowded

    def unsent(self, peer: bytes) -> int:
        return self._unsent.settle(peer)

    def send_nowait(self, peer: bytes, frames: Sequence[bytes], *, beyond: bool = False) -> None:
        size = len(frames[0]) if len(frames) == 1 else sum(map(len, frames))
        if not self._unsent.admits(peer, size, beyond=beyond):
            raise trio.WouldBlock
        # ROUTER_MANDATORY: the first frame is refused, or all of them are taken. Without
        # it, 16,850 of 20,000 messages to a slow reader were dropped, each "sent".
        try:
            self._send(peer, MORE, True)
        except zmq.Again:
            raise trio.WouldBlock from None
        except zmq.ZMQError as error:
            if self.is_closed:
                raise trio.ClosedResourceError("this socket was closed") from None
            if error.errno != zmq.EHOSTUNREACH:
                raise
            raise PeerGone from None
        try:
            if self._unsent.is_due(peer):
                self._send_marked(peer, frames)
            else:
                self._send_frames(frames)
        except (TypeError, IndexError):
            # What was begun must be ended, or the next message becomes the rest of this one.
            self._send(b"", NOBLOCK, True)
            raise

    def _send_marked(self, peer: bytes, frames: Sequence[bytes]) -> None:
        for frame in frames[:-1]:
            self._send(frame, MORE, len(frame) <= NO_COPY)
        self._unsent.mark(peer, self._send_last, frames[-1])

    def _send_last(self, frame: Any) -> None:
        self._send(frame, NOBLOCK, False)


def _connection_at(fd: int) -> int:
    """Return what no other connection shares; 0 if the descriptor is closed."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return 0
