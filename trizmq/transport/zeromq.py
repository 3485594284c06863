"""ZeroMQ sockets for Trio. Everything odd about libzmq ends in this file."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast, final

import trio
import zmq

from ..errors import ConfigError
from .cutting import cut
from .descriptors import check_descriptors
from .endpoints import check_bind, check_connect, is_local, split_endpoints
from .face import PeerGone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ZmqDealer", "ZmqRouter", "ZmqTransport"]

#: A longer frame is sent without a copy. That has its price too: pyzmq keeps the frame until
#: libzmq lets go of it, and a thread of its own hears of that and waits for Python's lock. So
#: bodies of 64 KiB cost 10 to 15 % less CPU copied. Beyond 128 KiB it is a draw, unless the C
#: library asks the kernel for each copy's memory, as it does by itself: then copies cost more.
NO_COPY: Final = 128 * 1024

#: Bytes that the kernel takes from a sender ahead of a receiver on this machine. Without a
#: bound it takes some megabytes, which have left the processor's cache when they are read:
#: bodies of 1 MiB, 4 in flight, cost a fifth to a quarter less CPU with it. (208 to 384 KiB are
#: alike, and 208 is what Linux allows unless told otherwise.) Never between machines: there
#: it would bound what is on its way.
LOCAL_SEND_BUFFER: Final = 256 * 1024

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

#: How long `ZmqTransport.aclose` waits for libzmq to let go, in seconds.
TERM_SECONDS: Final = 2.0


class _ZmqSocket:
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
class ZmqRouter(_ZmqSocket):
    """A bound ROUTER; see `face.Router` for what it promises."""

    def __init__(self, socket: zmq.Socket[bytes], endpoint: str, max_bytes: int) -> None:
        super().__init__(socket, max_bytes)
        self.endpoint = endpoint

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

    def send_nowait(self, peer: bytes, frames: Sequence[bytes]) -> None:
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
            self._send_frames(frames)
        except (TypeError, IndexError):
            # What was begun must be ended, or the next message becomes the rest of this one.
            self._send(b"", NOBLOCK, True)
            raise


@final
class ZmqDealer(_ZmqSocket):
    """A connected DEALER; see `face.Dealer` for what it promises."""

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


@final
class ZmqTransport(trio.abc.AsyncResource):
    """A ZeroMQ context and the options that every socket of ours has (docs/reference/statuses.md).

    Args:
      max_frame: bytes in one frame, or in one message; a peer that sends more loses its
        connection. (libzmq sees to frames by itself.)

    Raises:
      OSError: there are too few file descriptors left.

    """

    def __init__(self, *, max_frame: int) -> None:
        check_descriptors()
        self._max_frame = max_frame
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[_ZmqSocket] = []

    def bind(self, endpoint: str) -> ZmqRouter:
        _seed_routing_ids()
        socket = self._socket(zmq.ROUTER, endpoint)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            bound = [_bind(socket, one) for one in split_endpoints(endpoint)]
        except zmq.ZMQError as error:
            socket.close()
            raise ConfigError(f"cannot bind {endpoint}: {_why(error)}") from None
        except ConfigError:
            socket.close()
            raise
        router = ZmqRouter(socket, ",".join(bound), self._max_frame)
        self._keep(router)
        return router

    def connect(self, endpoint: str) -> ZmqDealer:
        check_connect(endpoint)
        socket = self._socket(zmq.DEALER, endpoint)
        try:
            _bound_send_buffer(socket, endpoint)
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            socket.close()
            raise ConfigError(f"cannot connect to {endpoint}: {_why(error)}") from None
        dealer = ZmqDealer(socket, self._max_frame)
        self._keep(dealer)
        return dealer

    async def aclose(self) -> None:
        # Here, because what another thread closes wakes no reader.
        for socket in self._sockets:
            socket.close()
        # destroy() waits for what the sockets linger over. That must not hold up Trio; and
        # it ends, because every socket got a linger at its creation.
        with trio.move_on_after(TERM_SECONDS, shield=True):
            await trio.to_thread.run_sync(self._context.destroy, abandon_on_cancel=True)

    def _keep(self, socket: _ZmqSocket) -> None:
        self._sockets = [*(one for one in self._sockets if not one.is_closed), socket]

    def _socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        options = {
            zmq.LINGER: 0,
            # Not for all: with it "localhost" may become ::1, where nobody listens.
            zmq.IPV6: int("[" in endpoint),
            zmq.MAXMSGSIZE: self._max_frame,
            zmq.HANDSHAKE_IVL: 2_000,
            zmq.HEARTBEAT_IVL: 1_000,
            zmq.HEARTBEAT_TIMEOUT: 3_000,
            zmq.HEARTBEAT_TTL: 3_000,
            zmq.RECONNECT_IVL: 100,
            # On this machine a try costs nothing, and who comes back is met at once.
            zmq.RECONNECT_IVL_MAX: 200 if is_local(endpoint) else 5_000,
        }
        for option, value in options.items():
            socket.setsockopt(option, value)
        return socket


def _bind(socket: zmq.Socket[bytes], endpoint: str) -> str:
    check_bind(endpoint)
    _bound_send_buffer(socket, endpoint)
    socket.bind(endpoint)
    return cast("bytes", socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()


def _bound_send_buffer(socket: zmq.Socket[bytes], endpoint: str) -> None:
    # Of one endpoint: a socket may be bound at several, each with the options of its moment.
    socket.setsockopt(zmq.SNDBUF, LOCAL_SEND_BUFFER if is_local(endpoint) else -1)


def _why(error: zmq.ZMQError) -> str:
    return zmq.strerror(error.errno or 0).lower()  # error.strerror repeats the endpoint


def _seed_routing_ids() -> None:
    # libzmq numbers its peers from rand(), which nobody seeds: every process's first
    # ROUTER hands out 006b8b4567 and counts up, so that after a restart a late reply could
    # go to a stranger. (Our own ids are checked as well; this is the belt to the braces.)
    with suppress(OSError, AttributeError):  # no C library under that name: Windows
        ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), "little"))
