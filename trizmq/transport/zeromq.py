"""ZeroMQ for Trio: the context, the options of all sockets, and the DEALER."""

from __future__ import annotations

import ctypes
import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast, final

import trio
import zmq

from ..errors import ConfigError
from .connections import FIRST, NEXT, Monitor, check_descriptors
from .endpoints import (
    check_bind,
    check_connect,
    find_addresses,
    is_local,
    is_refused,
    split_endpoints,
)
from .sockets import NOBLOCK, WRITABLE, ZmqRouter, ZmqSocket

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CONNECTED", "ENDS", "ZmqDealer", "ZmqTransport"]


#: The events for the end of a connection, or of an attempt to make one; and for its start.
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


#: Bytes that the kernel buffers for a receiver on the same machine. Without a limit, it buffers
#: several megabytes, which have left the processor's cache by the time they are read: with the
#: limit, bodies of 1 MiB, 4 in flight, take a fifth to a quarter less CPU. (Values from 208 to
#: 384 KiB perform alike, and 208 is the default maximum on Linux.) It is never used between
#: machines, where it would limit the data in transit.
LOCAL_SEND_BUFFER: Final = 256 * 1024

#: Longer than any program runs, so that libzmq never reconnects a socket: it would send messages
#: from the first connection to whichever server comes next.
NEVER: Final = 1_000_000_000

#: Messages of one peer that may wait to be read. Beyond that, libzmq stops reading from the peer,
#: including heartbeats, and the connection would end while a loop is busy. It must therefore
#: exceed the number of calls that a client may have in flight.
UNREAD: Final = 4_096

#: Milliseconds between two checks of the other end, and until the connection is closed: within
#: one machine, and between machines, where a large frame takes longer than that to transfer.
BEAT: Final = 500

LOCAL_SILENCE: Final = 1_500

SILENCE: Final = 3_000

#: The maximum number of messages that wait for one peer of a router. `Unsent` limits their bytes.
HIGH_WATER_MARK: Final = 20_000

#: Seconds that `ZmqTransport.aclose` waits for libzmq to finish.
TERM_SECONDS: Final = 2.0


@final
class ZmqTransport(trio.abc.AsyncResource):
    """A ZeroMQ context and the options that all sockets share (docs/reference/statuses.md).

    Args:
      max_frame: the maximum size of a frame, and of a message; a peer that exceeds it loses its
        connection. (libzmq itself enforces it for frames.)

    Raises:
      OSError: if there are too few file descriptors left.

    """

    def __init__(self, *, max_frame: int) -> None:
        check_descriptors(FIRST)
        self._max_frame = max_frame
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[ZmqSocket] = []
        self._is_closing = False

    def bind(self, endpoint: str) -> ZmqRouter:
        _seed_routing_ids()
        socket = self._socket(zmq.ROUTER, endpoint)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)  # the effective limit is in bytes
        try:
            bound = [_bind(socket, one) for one in split_endpoints(endpoint)]
        except zmq.ZMQError as error:
            socket.close()
            raise ConfigError(f"cannot bind {endpoint}: {_why(error)}") from None
        except ConfigError:
            socket.close()
            raise
        monitor = Monitor(self._context, socket, int(zmq.EVENT_DISCONNECTED))
        router = ZmqRouter(socket, ",".join(bound), monitor, self._max_frame)
        self._keep(router)
        return router

    def check(self, endpoint: str) -> None:
        check_connect(endpoint)

    async def find(self, endpoint: str) -> list[str]:
        return await find_addresses(endpoint)

    async def is_refused(self, address: str) -> bool:
        return await is_refused(address)

    def connect(self, address: str, *, beats: bool = False) -> ZmqDealer:
        check_connect(address)
        socket = self._socket(zmq.DEALER, address)
        _bound_send_buffer(socket, address)
        # A connection accepted by the kernel means little: it accepts for a stopped process too.
        # But for peers before ZMTP 3, there is no event for the end of the handshake.
        there = int(zmq.EVENT_HANDSHAKE_SUCCEEDED) if beats else CONNECTED
        if beats:
            _let_beat(socket, address)
        monitor = Monitor(self._context, socket, ENDS | CONNECTED | there)
        dealer = ZmqDealer(socket, monitor, there, self._max_frame)
        try:
            socket.connect(address)
        except zmq.ZMQError as error:
            dealer.close()
            raise ConfigError(f"cannot connect to {address}: {_why(error)}") from None
        self._keep(dealer)
        return dealer

    async def aclose(self) -> None:
        self._is_closing = True
        # Here, because closing a socket in another thread would not wake its reader.
        for socket in self._sockets:
            socket.close()
        # destroy() waits for lingering sockets, which must not block Trio; and it ends, because
        # every socket had its linger set when it was created.
        with trio.move_on_after(TERM_SECONDS, shield=True):
            await trio.to_thread.run_sync(self._context.destroy, abandon_on_cancel=True)

    def abandon(self) -> None:
        """Close all sockets at once, without Trio, which has died in this thread."""
        if not self._is_closing:
            self._context.destroy(linger=0)

    def _keep(self, socket: ZmqSocket) -> None:
        self._sockets = [*(one for one in self._sockets if not one.is_closed), socket]

    def _socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        check_descriptors(NEXT if self._sockets else FIRST)
        socket = self._context.socket(kind)
        options = {
            zmq.LINGER: 0,
            zmq.RCVHWM: UNREAD,
            # Not for all sockets: with it, "localhost" may become ::1, without a listener.
            zmq.IPV6: int("[" in endpoint),
            zmq.MAXMSGSIZE: self._max_frame,
            zmq.HANDSHAKE_IVL: 2_000,
            zmq.CONNECT_TIMEOUT: 1_000,
            zmq.RECONNECT_IVL: NEVER,
        }
        for option, value in options.items():
            socket.setsockopt(option, value)
        return socket


def _bind(socket: zmq.Socket[bytes], endpoint: str) -> str:
    check_bind(endpoint)
    _bound_send_buffer(socket, endpoint)
    socket.bind(endpoint)
    return cast("bytes", socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()


def _let_beat(socket: zmq.Socket[bytes], address: str) -> None:
    socket.setsockopt(zmq.HEARTBEAT_IVL, BEAT)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, LOCAL_SILENCE if is_local(address) else SILENCE)
    socket.setsockopt(zmq.HEARTBEAT_TTL, SILENCE)  # the other end closes it in the same way


def _bound_send_buffer(socket: zmq.Socket[bytes], endpoint: str) -> None:
    # Set per endpoint: a socket may be bound to several, each with the options of that moment.
    socket.setsockopt(zmq.SNDBUF, LOCAL_SEND_BUFFER if is_local(endpoint) else -1)


def _why(error: zmq.ZMQError) -> str:
    return zmq.strerror(error.errno or 0).lower()  # error.strerror repeats the endpoint


def _seed_routing_ids() -> None:
    # libzmq numbers its peers with rand(), without seeding it: the first ROUTER of every process
    # starts at 006b8b4567 and counts up, so that after a restart a late reply could reach a
    # different peer. (Our own ids are checked as well; this is an additional safeguard.)
    with suppress(OSError, AttributeError, TypeError):  # Windows has no such C library
        ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), "little"))
