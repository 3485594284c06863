"""A client's endpoints can be added and removed while it calls: in memory, and on real sockets."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.client.connection import Connection
from trizmq.client.trio_client import Client
from trizmq.errors import ConfigError
from trizmq.limits import Limits
from trizmq.processes.server import Server
from trizmq.settings import Settings
from trizmq.transport.memory import MemoryTransport
from trizmq.transport.zeromq import ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trizmq.transport.face import Transport

BROKERS = 3
CALLERS = 20


class Cluster:
    """Brokers with a worker each, which record every call that they execute, and a client."""

    def __init__(self, transport: Transport, plugin: Any, state_dir: Any) -> None:
        self.transport = transport
        self.executed: list[tuple[int, str]] = []
        self.has_begun = trio.Event()
        self.may_end = trio.Event()
        self.endpoints: list[str] = []
        self._plugin = plugin
        self._state_dir = state_dir

    async def open(self, stack: AsyncExitStack) -> None:
        for number in range(BROKERS):
            app = App(load([self._plugin(self._routes(number))]), state_dir=self._state_dir)
            is_real = isinstance(self.transport, ZmqTransport)
            bind = "tcp://127.0.0.1:*" if is_real else f"broker {number}"
            server = Server(self.transport, app, Settings(bind=bind))
            await stack.enter_async_context(running(server.run))
            self.endpoints.append(server.endpoint)

    def _routes(self, number: int) -> trizmq.Router:
        routes = trizmq.Router()

        @routes.post("/test/{name}")
        async def note(name: str) -> int:
            self.executed.append((number, name))
            await trio.sleep(0.002)
            return number

        @routes.post("/test/slow/{name}")
        async def slow(name: str) -> int:
            self.executed.append((number, name))
            self.has_begun.set()
            await self.may_end.wait()
            return number

        return routes

    @asynccontextmanager
    async def connected(self, *numbers: int) -> AsyncIterator[tuple[Connection, Client]]:
        connection = Connection(self.transport, [self.endpoints[number] for number in numbers])
        async with running(connection.run):
            yield connection, Client(connection)


@pytest.fixture(params=["memory", "zeromq"])
async def cluster(request: Any, plugin: Any, tmp_path: Any) -> AsyncIterator[Cluster]:
    transport: Any
    if request.param == "memory":
        transport = MemoryTransport()
    else:
        transport = ZmqTransport(max_frame=Limits().frame_bytes)
    cluster = Cluster(transport, plugin, tmp_path)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.aclose)
        await cluster.open(stack)
        yield cluster


async def test_calls_wait_for_the_first_endpoint_and_go_out_when_it_is_added(cluster) -> None:
    got: list[int] = []
    with trio.fail_after(10):
        async with cluster.connected() as (connection, client), trio.open_nursery() as nursery:

            async def call() -> None:
                got.append((await client.post("/test/a")).json())

            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not got
            connection.add(cluster.endpoints[1])
    assert got == [1]


async def test_calls_in_flight_at_a_removed_endpoint_may_finish(cluster) -> None:
    got: list[int] = []
    with trio.fail_after(10):
        async with cluster.connected(0, 1) as (connection, client):
            while not client.is_connected:
                await trio.sleep(0.01)
            first = (await client.post("/test/first")).json()
            async with trio.open_nursery() as nursery:

                async def call() -> None:
                    got.append((await client.post("/test/slow/a")).json())

                nursery.start_soon(call)
                await cluster.has_begun.wait()
                connection.remove(cluster.endpoints[first])
                assert (await client.post("/test/b")).json() == 1 - first
                assert len(connection._lines) == 2
                cluster.may_end.set()
            assert got == [first]
            assert [line._endpoint for line in connection._lines.values()] == [
                cluster.endpoints[1 - first]
            ]


async def test_endpoints_come_and_go_under_load_and_each_call_is_executed_once(cluster) -> None:
    answered: list[str] = []
    is_over = False

    async def call_on_and_on(client: Client, caller: int) -> None:
        number = 0
        while not is_over:
            name = f"{caller}-{number}"
            assert (await client.post(f"/test/{name}")).status == 200
            answered.append(name)
            number += 1

    with trio.fail_after(60):
        async with cluster.connected(0) as (connection, client), trio.open_nursery() as nursery:
            for caller in range(CALLERS):
                nursery.start_soon(call_on_and_on, client, caller)
            for step in range(30):
                here, there = (cluster.endpoints[n % BROKERS] for n in (step, step + 1))
                if step % 3 == 0:  # for a moment there is no broker at all
                    connection.remove(here)
                    await trio.sleep(0.01)
                    connection.add(there)
                else:
                    connection.add(there)
                    await trio.sleep(0.01)
                    connection.remove(here)
                await trio.sleep(0.05)
            is_over = True
    executed = Counter(name for _, name in cluster.executed)
    assert set(executed) == set(answered)
    assert set(executed.values()) == {1}
    assert {number for number, _ in cluster.executed} == set(range(BROKERS))


async def test_adding_or_removing_an_endpoint_twice_does_nothing(cluster) -> None:
    async with cluster.connected(0) as (connection, _client):
        connection.add(cluster.endpoints[0])
        assert len(connection._lines) == 1
        connection.remove(cluster.endpoints[2])
        connection.remove(cluster.endpoints[0])
        connection.remove(cluster.endpoints[0])
        assert not connection._lines
    with pytest.raises(trio.ClosedResourceError):
        connection.add(cluster.endpoints[0])
    connection.remove(cluster.endpoints[0])


async def test_an_invalid_endpoint_is_not_added(plugin, tmp_path) -> None:
    transport = ZmqTransport(max_frame=Limits().frame_bytes)
    connection = Connection(transport, [])
    with pytest.raises(ConfigError):
        connection.add("nonsense")
    assert not connection._lines
    assert not connection.engine.links.taking
    await transport.aclose()
