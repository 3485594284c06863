"""Misbehaving processes, and a server whose broker can be inspected meanwhile."""

from __future__ import annotations

import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.limits import Limits
from trizmq.processes.server import Server
from trizmq.settings import Settings
from trizmq.transport.zeromq import ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from trizmq.broker.engine import Broker

    Start = Callable[..., subprocess.Popen[bytes]]

HERE = Path(__file__).parent

routes = trizmq.Router()


@routes.get("/test/now")
async def now() -> int:
    return 1


@routes.get("/test/forever")
async def forever() -> None:
    await trio.sleep_forever()


@pytest.fixture
def open_broker(plugin, tmp_path):
    """``async with open_broker() as (endpoint, broker)``: the engine, driven on real sockets."""

    @asynccontextmanager
    async def open_one() -> AsyncIterator[tuple[str, Broker]]:
        app = App(load([plugin(routes)]), state_dir=tmp_path)
        async with ZmqTransport(max_frame=Limits().frame_bytes) as transport:
            server = Server(transport, app, Settings(bind="tcp://127.0.0.1:*"))
            async with running(server.run):
                yield server.endpoint, server.broker

    return open_one


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(script, *args)``: a process, ended after the test in any state."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(script: str, *args: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(HERE / f"{script}.py"), *args]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
