"""A call from a handler gets at most the time that is left of the handler's own call."""

from __future__ import annotations

from functools import partial

import trio

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.processes.work import work_on
from trizmq.settings import Settings
from trizmq.transport.zeromq import ZmqTransport


async def test_the_rule_applies_in_a_worker_process_too(open_server, plugin, tmp_path) -> None:
    routes = trizmq.Router()
    budgets: list[float] = []
    inner: list[trizmq.Client] = []

    @routes.get("/test/outer")
    async def outer() -> object:
        return (await inner[0].get("/test/inner")).json()

    @routes.get("/test/inner")
    async def measure(request: trizmq.Request) -> int:
        budgets.append(request.deadline - trio.current_time())
        return 1

    app = App(load([plugin(routes)]), state_dir=tmp_path / "worker")
    async with (
        open_server() as server,
        ZmqTransport(max_frame=2**20) as transport,
        running(partial(work_on, transport, app, Settings(backend=server.backend, capacity=2))),
        trizmq.open_client(server.endpoint) as client,
    ):
        inner.append(client)
        with trio.fail_after(3):
            assert (await client.get("/test/outer")).json() == 1
    assert 0 < budgets[0] <= 3.01
