"""A server whose broker can be looked into while real peers misbehave."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.engine.limits import Limits
from trizmq.service.beside import running
from trizmq.service.broker_loop import BrokerLoop
from trizmq.transport.zeromq import ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
    async def open_one() -> AsyncIterator[tuple[str, object]]:
        limits = Limits()
        transport = ZmqTransport(max_frame=limits.frame_bytes)
        router = transport.bind("tcp://127.0.0.1:*")
        app = App(load([plugin(routes)]), state_dir=tmp_path)
        make = partial(BrokerLoop, instance="test", capacity=256, access_log=False)
        loop = make(router, app, limits=limits)
        async with running(loop.run):
            yield router.endpoint, loop.broker
        router.close()
        await transport.aclose()

    return open_one
