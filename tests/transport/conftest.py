"""Shared by the tests of `trizmq.transport`: the same interface over TCP, IPC and in memory."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import pytest
import trio

from trizmq.errors import ConfigError
from trizmq.transport.memory import MemoryTransport
from trizmq.transport.zeromq import ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from trizmq.transport.face import Dealer, Router, Transport

#: Real sockets can be slow; anything that takes longer than this hangs.
PATIENCE = 10.0

MAX_FRAME = 2 * 1024 * 1024

Message = tuple[bytes, list[bytes]]


class Network:
    """A transport, and endpoints for it."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self._directory = directory
        self.transport: Transport = (
            MemoryTransport() if kind == "memory" else ZmqTransport(max_frame=MAX_FRAME)
        )

    @property
    def endpoint(self) -> str:
        """Return a new endpoint to bind."""
        return {
            "memory": "here",
            "ipc": f"ipc://{self._directory / 'socket'}",
            "tcp": "tcp://127.0.0.1:*",
        }[self.kind]

    @property
    def free_endpoint(self) -> str:
        """Return an endpoint without a router: closing sockets may still accept connections."""
        if self.kind != "tcp":
            return self.endpoint
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return f"tcp://127.0.0.1:{probe.getsockname()[1]}"

    async def pair(self) -> tuple[Router, Dealer, bytes]:
        """Open a router and a connected dealer; return them and the dealer's address."""
        router = self.transport.bind(self.endpoint)
        dealer = self.transport.connect(router.endpoint)
        dealer.send_nowait([b"hello"])
        dealer.settle()
        peer, _ = await self.take(router)
        return router, dealer, peer

    async def pair_elsewhere(self) -> tuple[Router, Dealer, bytes]:
        """Open a second pair at a different endpoint."""
        (self._directory / "elsewhere").mkdir()
        self._directory /= "elsewhere"
        return await self.pair()

    async def bind_again(self, endpoint: str) -> Router:
        """Bind where a router was closed, as soon as libzmq has released the endpoint."""
        while True:
            try:
                return self.transport.bind(endpoint)
            except ConfigError:
                await trio.sleep(0.01)

    async def take(self, router: Router) -> Message:
        """Receive one message."""
        while (message := router.receive_nowait()) is None:
            await router.wait_readable()
        return message

    async def read(self, dealer: Dealer) -> list[bytes]:
        """Receive one message."""
        while (frames := dealer.receive_nowait()) is None:
            await dealer.wait_readable()
        return frames

    async def write(self, dealer: Dealer, frames: Sequence[bytes]) -> None:
        """Send one message as soon as there is room."""
        while True:
            try:
                dealer.send_nowait(frames)
            except trio.WouldBlock:
                await dealer.wait_readable(or_writable=True)
            else:
                dealer.settle()
                return


class OpenNetwork(Protocol):
    def __call__(self) -> AbstractAsyncContextManager[Network]: ...


@pytest.fixture
def open_zmq(tmp_path: Path) -> OpenNetwork:
    """Open a network over TCP with a time limit."""
    return _opener("tcp", tmp_path)


@pytest.fixture(params=["tcp", "ipc", "memory"])
def open_network(request: pytest.FixtureRequest, tmp_path: Path) -> OpenNetwork:
    """Open a network of each kind with a time limit."""
    return _opener(request.param, tmp_path)


def _opener(kind: str, directory: Path) -> Callable[[], AbstractAsyncContextManager[Network]]:
    @asynccontextmanager
    async def open_one() -> AsyncIterator[Network]:
        network = Network(kind, directory)
        try:
            with trio.fail_after(PATIENCE):
                yield network
        finally:
            await network.transport.aclose()

    return open_one
