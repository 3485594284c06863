"""A worker's brokers come and go while it works, in every dialect."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.client.opening import open_client_on
from trizmq.processes.server import Server
from trizmq.settings import Settings
from trizmq.transport.memory import MemoryTransport
from trizmq.worker.loop import WorkerLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DIALECTS = ["native", "mdp01", "mdp02", "majortomo", "packed"]


class Rig:
    """Two brokers without workers of their own, ``a`` and ``b``, and a client of each."""

    def __init__(self, plugin: Any, state_dir: Any) -> None:
        self.transport = MemoryTransport()
        self.executed: list[str] = []
        self.has_begun = trio.Event()
        self.may_end = trio.Event()
        self._app = App(load([plugin(self._routes())]), state_dir=state_dir)

    def _routes(self) -> trizmq.Router:
        routes = trizmq.Router()

        @routes.post("/test")
        async def note(body: bytes) -> str:
            self.executed.append(body.decode())
            if body == b"slow":
                self.has_begun.set()
                await self.may_end.wait()
            else:
                await trio.lowlevel.checkpoint()
            return body.decode()

        return routes

    def worker(self, *connect: str, dialect: Any = "native", capacity: int = 4) -> WorkerLoop:
        settings = Settings(dialect=dialect, capacity=capacity)
        return WorkerLoop(self.transport, self._app, settings, connect=connect, name="w")

    async def open(self, stack: AsyncExitStack) -> None:
        self.servers = []
        self.clients = []
        for name in ("a", "b"):
            settings = Settings(bind=f"front {name}", backend=name, capacity=0, wait=30.0)
            server = Server(self.transport, self._app, settings)
            await stack.enter_async_context(running(server.run))
            client = open_client_on(self.transport, f"front {name}")
            self.servers.append(server)
            self.clients.append(await stack.enter_async_context(client))

    async def until_workers(self, *counts: int) -> None:
        """Wait until the brokers have this many workers."""
        while [len(server.broker.workers) for server in self.servers] != list(counts):
            await trio.sleep(0.001)


@pytest.fixture
async def rig(plugin: Any, tmp_path: Any) -> AsyncIterator[Rig]:
    rig = Rig(plugin, tmp_path)
    with trio.fail_after(30):
        async with AsyncExitStack() as stack:
            await rig.open(stack)
            yield rig


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_worker_without_brokers_works_for_the_first_that_is_added(rig, dialect) -> None:
    worker = rig.worker(dialect=dialect, capacity=2)
    assert worker.next_tick == float("inf")
    async with running(worker.run):
        worker.tick(trio.current_time())
        worker.add("a")
        worker.add("a")
        assert (await rig.clients[0].post("/test", body=b"one")).status == 200
        await rig.until_workers(1 if dialect == "native" else 2, 0)
        worker.add("b")
        assert (await rig.clients[1].post("/test", body=b"two")).status == 200
    assert rig.executed == ["one", "two"]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_worker_finishes_its_calls_before_it_leaves_a_broker(rig, dialect) -> None:
    worker = rig.worker("a", "b", dialect=dialect, capacity=2)
    got: list[int] = []

    async def call() -> None:
        got.append((await rig.clients[0].post("/test", body=b"slow")).status)

    async with running(worker.run):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await rig.has_begun.wait()
            worker.remove("a")
            worker.remove("a")
            worker.remove("nowhere")
            assert (await rig.clients[1].post("/test", body=b"other")).status == 200
            assert not got
            rig.may_end.set()
        assert got == [200]
        await rig.until_workers(0, 1 if dialect == "native" else 2)
        assert {talk.endpoint for talk in worker._talks} == {"b"}
        worker.add("a")  # and it comes back
        assert (await rig.clients[0].post("/test", body=b"again")).status == 200
    assert rig.executed == ["slow", "other", "again"]


async def test_a_worker_that_leaves_its_only_broker_has_no_calls_left(rig) -> None:
    worker = rig.worker("a")
    async with running(worker.run):
        await rig.until_workers(1, 0)
        worker.remove("a")
        await rig.until_workers(0, 0)
        assert not worker._talks
        await worker.drain(1.0)
        worker.add("b")  # too late: it drains
        assert not worker._talks


async def test_a_worker_has_left_a_broker_when_the_connection_is_lost(rig) -> None:
    worker = rig.worker("a", "b")
    async with running(worker.run), trio.open_nursery() as nursery:
        nursery.start_soon(partial(rig.clients[0].post, "/test", body=b"slow"))
        await rig.has_begun.wait()
        worker.remove("a")
        await trio.testing.wait_all_tasks_blocked()
        assert len(worker._talks) == 2
        [talk] = [talk for talk in worker._talks if talk.endpoint == "a"]
        talk.line.dealer.detach()
        while len(worker._talks) == 2:
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()


async def test_brokers_come_and_go_under_load_and_each_call_is_executed_once(rig) -> None:
    answered: list[str] = []
    is_over = False

    async def call_on_and_on(number: int, caller: int) -> None:
        count = 0
        while not is_over:
            name = f"{number}-{caller}-{count}"
            response = await rig.clients[number].post("/test", body=name.encode())
            assert response.status == 200
            answered.append(name)
            count += 1

    worker, stayer = rig.worker("a"), rig.worker("a", "b")
    async with running(worker.run), running(stayer.run), trio.open_nursery() as nursery:
        for number in (0, 1):
            for caller in range(5):
                nursery.start_soon(call_on_and_on, number, caller)
        for step in range(20):
            here, there = ("a", "b") if step % 2 == 0 else ("b", "a")
            worker.add(there)
            await trio.sleep(0.01)
            worker.remove(here)
            await trio.sleep(0.02)
        is_over = True
    assert Counter(rig.executed) == Counter(answered)
    assert set(Counter(rig.executed).values()) == {1}
