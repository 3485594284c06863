"""Sockets for Trio, using libzmq's edge-triggered descriptor, and the ROUTER."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast, final

import trio
import zmq

from .connections import connection_at, cut, shut_down
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

#: Longer frames are sent without a copy. That has a cost as well: pyzmq keeps the frame until
#: libzmq releases it, and a separate thread is notified and waits for the GIL. As a result, bodies
#: of 64 KiB take 10 to 15 % less CPU when they are copied. Beyond 128 KiB, both cost the same,
#: unless the C library requests memory from the kernel for each copy, which it does by default:
#: then copies cost more.
NO_COPY: Final = 128 * 1024

# As plain ints: combining pyzmq's enum members costs a microsecond each time.
NOBLOCK: Final = int(zmq.NOBLOCK)
MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
READABLE: Final = int(zmq.POLLIN)
WRITABLE: Final = int(zmq.POLLOUT)
EVENTS: Final = int(zmq.EVENTS)

#: No dialect uses more frames in a message. The rest of a longer message is skipped.
MAX_FRAMES: Final = 1025

#: Frames to skip at once, in about a millisecond; then other tasks run.
SKIPPED_A_PASS: Final = 1000

#: A descriptor is closed shortly after the end of its connection is reported.
CLOSING_SECONDS: Final = 0.1


class ZmqSocket:
    # ZMQ_FD becomes readable when libzmq has news. The news may concern either direction, and any
    # call to the socket may process it and make the fd unreadable again (zmq_getsockopt(3):
    # "edge-triggered"). Hence two rules:
    #
    # 1. The reader sleeps only if ZMQ_EVENTS, read just before, did not have its flag; there is
    #    no await between that check and wait_readable.
    # 2. After sending while the reader sleeps, check ZMQ_EVENTS and wake the reader if necessary.
    #    notify_closing does this: it makes wait_readable raise an exception, which we expect.
    #
    # Without the second rule, a busy service stalled permanently within 0.6 s, in 3 of 3 runs.

    def __init__(self, socket: zmq.Socket[bytes], max_bytes: int) -> None:
        self._socket = socket
        self._max_bytes = max_bytes
        self._is_skipping = False
        self._receive = socket.recv
        # The backend's method: `zmq.Socket` first checks something that only draft sockets need,
        # which doubles the cost.
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
        # The first frame decides; when it has arrived, so have the others (ZeroMQ delivers whole
        # messages). Separate calls cost half as much as recv_multipart. And the frame itself
        # knows whether it is the last one: reading ZMQ_RCVMORE costs 1.4 us each time.
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
                    # libzmq has already received all of it and cannot drop it: two million empty
                    # frames take two seconds to read. They are therefore read in small steps.
                    self._is_skipping = frame.more
                    self._cut(frame)
                    return []
        return frames

    def _cut(self, frame: zmq.Frame) -> None:
        """End the connection that delivered ``frame``."""

    def _has_skipped(self) -> bool:
        """Read more of a message that is too large; return whether its end was reached."""
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
            self._reader_sleeps = False  # it is awake; `settle` must not check the socket now
            self._socket.close(linger=int(linger * 1000))


@final
class ZmqRouter(ZmqSocket):
    """A bound ROUTER; see `face.Router` for its guarantees."""

    def __init__(
        self, socket: zmq.Socket[bytes], endpoint: str, monitor: Monitor, max_bytes: int
    ) -> None:
        super().__init__(socket, max_bytes)
        self.endpoint = endpoint
        self._unsent = Unsent()
        self._monitor = monitor
        #: The peer for each descriptor, and an id of the connection itself, because the next
        #: connection may get the same number.
        self._watched: dict[int, tuple[bytes, int]] = {}

    def watch(self, peer: bytes) -> None:
        if self._first is not None:
            fd = self._first.get(zmq.SRCFD)
            self._watched[fd] = peer, connection_at(fd)

    def disconnect(self, is_stranger: Callable[[bytes], bool]) -> None:
        for fd, (peer, connection) in self._watched.items():
            if is_stranger(peer) and self.unsent(peer):
                shut_down(fd, connection)

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
        """Remove the peers whose connection is gone; another one may have its number by now."""
        gone = []
        for fd in ended:
            peer, connection = self._watched.get(fd, (b"", 0))
            if peer and connection_at(fd) != connection:
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
        # A peer can send only an address frame by closing half-way; libzmq discards that.
        return peer, self._receive_frames(NOBLOCK)

    def bound_unsent(self, each: int, together: int, beside: Callable[[], int] = int) -> None:
        self._unsent.bound(each, together, beside)

    @property
    def unsent_bytes(self) -> int:
        return self._unsent.total

    @property
    def crowded(self) -> set[bytes]:
        return self._unsent.crowded

    def unsent(self, peer: bytes) -> int:
        return self._unsent.settle(peer)

    def send_nowait(self, peer: bytes, frames: Sequence[bytes], *, beyond: bool = False) -> None:
        size = len(frames[0]) if len(frames) == 1 else sum(map(len, frames))
        if not self._unsent.admits(peer, size, beyond=beyond):
            raise trio.WouldBlock
        # ROUTER_MANDATORY: libzmq refuses the first frame, or accepts all of them. Without it,
        # 16,850 of 20,000 messages to a slow reader were dropped although they were "sent".
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
            # Finish the message, or the next one would become the rest of it.
            self._send(b"", NOBLOCK, True)
            raise

    def _send_marked(self, peer: bytes, frames: Sequence[bytes]) -> None:
        for frame in frames[:-1]:
            self._send(frame, MORE, len(frame) <= NO_COPY)
        self._unsent.mark(peer, self._send_last, frames[-1])

    def _send_last(self, frame: Any) -> None:
        self._send(frame, NOBLOCK, False)
