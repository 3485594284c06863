"""A broker on real sockets, and peers that speak to it frame by frame."""

from __future__ import annotations

import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import zmq

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.engine.limits import Limits
from trizmq.service.beside import running
from trizmq.service.server import Server
from trizmq.transport.zeromq import ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


PEERS = Path(__file__).parent / "peers"


class Peer:
    """A plain ZeroMQ socket, connected: what it sends and gets are frames, as they are."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket

    def send(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames, zmq.NOBLOCK)

    async def receive(self, seconds: float = 5.0) -> list[bytes]:
        """Return the next message, heartbeats and all."""
        with trio.fail_after(seconds):
            while True:
                try:
                    return self.socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    await trio.sleep(0.002)

    async def receive_other(self, *than: list[bytes], seconds: float = 5.0) -> list[bytes]:
        """Return the next message that is none of ``than``: heartbeats, say."""
        with trio.fail_after(seconds):
            while (frames := await self.receive(seconds)) in than:
                pass
        return frames

    async def hears_nothing(self, seconds: float = 0.2) -> bool:
        with trio.move_on_after(seconds):
            await self.receive(60)
            return False
        return True

    def close(self) -> None:
        self.socket.close(linger=0)


@pytest.fixture
def connect() -> Iterator[Callable[..., Peer]]:
    """``connect(endpoint)``: a DEALER; ``connect(endpoint, zmq.REQ)``, likewise."""
    with zmq.Context() as context:
        peers: list[Peer] = []

        def connect(endpoint: str, kind: int = zmq.DEALER, routing_id: bytes = b"") -> Peer:
            socket = context.socket(kind)
            if routing_id:
                socket.routing_id = routing_id
            socket.connect(endpoint)
            peers.append(Peer(socket))
            return peers[-1]

        yield connect
        for peer in peers:
            peer.close()


@pytest.fixture
def start():
    """``start(script, *args)``: a peer in a process of its own; ended after the test."""
    processes: list[subprocess.Popen] = []

    def start(script: str, *args: str) -> subprocess.Popen:
        command = [sys.executable, str(PEERS / f"{script}.py"), *args]
        processes.append(subprocess.Popen(command))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def open_server(plugin, tmp_path):
    """``async with open_server(*plugins) as server``: `Server`, with a backend, running.

    Without plugins no handler runs in it. ``one_socket``: for clients and workers.
    """

    @asynccontextmanager
    async def open_one(
        *plugins: object, one_socket: bool = False, **limits: Any
    ) -> AsyncIterator[Server]:
        made = [plugin(p) if isinstance(p, trizmq.Router) else p for p in plugins]
        bounds = Limits(**limits)
        transport = ZmqTransport(max_frame=bounds.frame_bytes)
        bind = f"ipc://{tmp_path}/front" if one_socket else "tcp://127.0.0.1:*"
        server = Server(
            transport,
            App(load(made), state_dir=tmp_path / "state"),
            bind=bind,
            backend=bind if one_socket else "tcp://127.0.0.1:*",
            capacity=8 if plugins else 0,
            limits=bounds,
        )
        async with running(server.run):
            yield server
        await transport.aclose()

    return open_one
