"""Shared by all tests: servers on real sockets, and peers that exchange frames."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import zmq
from hypothesis import settings

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.processes.server import Server
from trizmq.settings import DEFAULTS, Settings
from trizmq.transport.zeromq import ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    Serving = Callable[..., AbstractAsyncContextManager[str]]

# The duration of an example depends on the load of the machine more than on trizmq.
settings.register_profile("trizmq", deadline=None)
settings.load_profile("trizmq")


class RoutesPlugin:
    """A plugin that consists only of these routes."""

    def __init__(self, routes: trizmq.Router) -> None:
        self._routes = routes

    @trizmq.hookimpl
    def trizmq_register_routes(self) -> trizmq.Router:
        return self._routes


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start children without coverage, which uses memory and writes a file at the end."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture
def plugin() -> Callable[[trizmq.Router], object]:
    """Create a plugin from routes."""
    return RoutesPlugin


@pytest.fixture
def serving(tmp_path: Any) -> Serving:
    """Serve plugins or routes on real sockets: ``async with serving(routes) as endpoint``."""

    @asynccontextmanager
    async def serve(*plugins: object, **options: Any) -> AsyncIterator[str]:
        made = [RoutesPlugin(p) if isinstance(p, trizmq.Router) else p for p in plugins]
        options = {"bind": "tcp://127.0.0.1:*", "state_dir": tmp_path / "state", **options}
        async with running(partial(trizmq.serve, plugins=made, **options)) as endpoint:
            yield endpoint

    return serve


class Peer:
    """A plain, connected ZeroMQ socket that sends and receives frames unchanged."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket

    def send(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames, zmq.NOBLOCK)

    async def receive(self, seconds: float = 5.0) -> list[bytes]:
        """Return the next message, including heartbeats."""
        with trio.fail_after(seconds):
            while True:
                try:
                    return self.socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    await trio.sleep(0.002)

    async def receive_other(self, *than: list[bytes], seconds: float = 5.0) -> list[bytes]:
        """Return the next message other than ``than``, for example heartbeats."""
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
    """``connect(endpoint)``: a DEALER; ``connect(endpoint, zmq.REQ)``: a REQ socket."""
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
def open_server(tmp_path: Any) -> Any:
    """``async with open_server(*plugins) as server``: a running `Server` with a backend.

    Without plugins, it runs no handlers. ``one_socket``: the same for clients and workers.
    """

    @asynccontextmanager
    async def open_one(
        *plugins: object, one_socket: bool = False, **limits: Any
    ) -> AsyncIterator[Server]:
        made = [RoutesPlugin(p) if isinstance(p, trizmq.Router) else p for p in plugins]
        bind = f"ipc://{tmp_path}/front" if one_socket else "tcp://127.0.0.1:*"
        settings = Settings(
            bind=bind,
            backend=bind if one_socket else "tcp://127.0.0.1:*",
            capacity=8 if plugins else 0,
            wait=limits.pop("wait", DEFAULTS.wait),
            limits=limits,
        )
        transport = ZmqTransport(max_frame=settings.bounds.frame_bytes)
        server = Server(transport, App(load(made), state_dir=tmp_path / "state"), settings)
        try:
            async with running(server.run):
                yield server
        finally:
            await transport.aclose()

    return open_one
