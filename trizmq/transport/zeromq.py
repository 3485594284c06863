"""ZeroMQ for Trio: one context, and the options of every socket of ours."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Final, cast, final

import trio
import zmq

from ..errors import ConfigError
from .connections import FIRST, NEXT, Monitor, check_descriptors
from .dealer import CONNECTED, ENDS, ZmqDealer
from .endpoints import (
    check_bind,
    check_connect,
    find_addresses,
    is_local,
    is_refused,
    split_endpoints,
)
from .sockets import ZmqRouter, ZmqSocket

__all__ = ["ZmqTransport"]

#: Bytes that the kernel takes from a sender ahead of a receiver on this machine. Without a
#: bound it takes some megabytes, which have left the processor's cache when they are read:
#: bodies of 1 MiB, 4 in flight, cost a fifth to a quarter less CPU with it. (208 to 384 KiB are
#: alike, and 208 is what Linux allows unless told otherwise.) Never between machines: there
#: it would bound what is on its way.
LOCAL_SEND_BUFFER: Final = 256 * 1024

#: Longer than any program runs: libzmq makes no second connection for a socket. It would carry
#: what was not sent on the first one to whoever comes next.
NEVER: Final = 1_000_000_000

#: Messages of one peer that may wait until they are read. Beyond that libzmq reads no more from it,
#: no heartbeat either, and the connection would end while a loop is busy: so, more than a client
#: may have calls in flight.
UNREAD: Final = 4_096

#: Milliseconds between two looks at the other end of a connection, and until it is given up:
#: within this machine, and elsewhere, where a large frame takes longer than that to pass.
BEAT: Final = 500
LOCAL_SILENCE: Final = 1_500
SILENCE: Final = 3_000

#: Messages that may wait for one peer of a router. They are bounded in bytes (`Unsent`).
HIGH_WATER_MARK: Final = 20_000

#: How long `ZmqTransport.aclose` waits for libzmq to let go, in seconds.
TERM_SECONDS: Final = 2.0


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
        check_descriptors(FIRST)
        self._max_frame = max_frame
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[ZmqSocket] = []

    def bind(self, endpoint: str) -> ZmqRouter:
        _seed_routing_ids()
        socket = self._socket(zmq.ROUTER, endpoint)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)  # bytes are what bounds it
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
        # That the kernel accepts says little: it does so for a process that is stopped. But
        # peers before ZMTP 3 have no handshake whose end is reported.
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
        # Here, because what another thread closes wakes no reader.
        for socket in self._sockets:
            socket.close()
        # destroy() waits for what the sockets linger over. That must not hold up Trio; and
        # it ends, because every socket got a linger at its creation.
        with trio.move_on_after(TERM_SECONDS, shield=True):
            await trio.to_thread.run_sync(self._context.destroy, abandon_on_cancel=True)

    def _keep(self, socket: ZmqSocket) -> None:
        self._sockets = [*(one for one in self._sockets if not one.is_closed), socket]

    def _socket(self, kind: int, endpoint: str) -> zmq.Socket[bytes]:
        check_descriptors(NEXT if self._sockets else FIRST)
        socket = self._context.socket(kind)
        options = {
            zmq.LINGER: 0,
            zmq.RCVHWM: UNREAD,
            # Not for all: with it "localhost" may become ::1, where nobody listens.
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
    socket.setsockopt(zmq.HEARTBEAT_TTL, SILENCE)  # the other end gives us up likewise


def _bound_send_buffer(socket: zmq.Socket[bytes], endpoint: str) -> None:
    # Of one endpoint: a socket may be bound at several, each with the options of its moment.
    socket.setsockopt(zmq.SNDBUF, LOCAL_SEND_BUFFER if is_local(endpoint) else -1)


def _why(error: zmq.ZMQError) -> str:
    return zmq.strerror(error.errno or 0).lower()  # error.strerror repeats the endpoint


def _seed_routing_ids() -> None:
    # libzmq numbers its peers from rand(), which nobody seeds: every process's first
    # ROUTER hands out 006b8b4567 and counts up, so that after a restart a late reply could
    # go to a stranger. (Our own ids are checked as well; this is the belt to the braces.)
    with suppress(OSError, AttributeError, TypeError):  # no C library under that name: Windows
        ctypes.CDLL(None).srand(int.from_bytes(os.urandom(4), "little"))
