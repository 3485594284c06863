"""Ports can be added and removed while a broker runs: sockets and local clients."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq
from trizmq.app.application import App
from trizmq.broker.engine import Broker
from trizmq.broker.loop import BrokerLoop
from trizmq.client.opening import open_client_on
from trizmq.limits import Limits
from trizmq.processes.local_client import open_local_client
from trizmq.processes.work import work_on
from trizmq.settings import settings_of
from trizmq.transport.memory import MemoryTransport
from trizmq.transport.zeromq import ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trizmq.transport.face import Transport

routes = trizmq.Router()


@routes.get("/echo/{number:int}")
async def echo(number: int) -> int:
    return number


@routes.get("/echo/slow")
async def slow() -> str:
    await trio.sleep_forever()
    return ""


@routes.post("/echo")
async def repeat(request: trizmq.Request) -> bytes:
    return request.body


@pytest.fixture(params=["zeromq", "memory"])
def make_transport(request: pytest.FixtureRequest) -> Callable[[], Any]:
    if request.param == "memory":
        return MemoryTransport
    return partial(ZmqTransport, max_frame=Limits().frame_bytes)


@pytest.fixture
async def transport(make_transport: Callable[[], Any]) -> AsyncIterator[Transport]:
    made = make_transport()
    yield made
    await made.aclose()


@pytest.fixture
async def loop(nursery: trio.Nursery) -> BrokerLoop:
    """A running loop of a broker without any socket."""
    loop = BrokerLoop(Broker(instance="broker01", accepts_workers=True))
    await nursery.start(loop.run)
    return loop


def is_memory(transport: Transport) -> bool:
    return isinstance(transport, MemoryTransport)


def endpoint(transport: Transport) -> str:
    return "memory://" if is_memory(transport) else "tcp://127.0.0.1:*"


@asynccontextmanager
async def port(loop: BrokerLoop, transport: Transport, kind: str) -> AsyncIterator[str]:
    """Serve a socket for the duration of the block: ``clients``, ``workers`` or ``both``."""
    where = endpoint(transport)
    if is_memory(transport):
        where += f"{kind}{len(loop._sockets)}"
    router = transport.bind(where)
    add: Any = getattr(loop, f"add_{kind}")
    async with trio.open_nursery() as nursery:
        await nursery.start(loop.serve, add(router))
        yield router.endpoint
        nursery.cancel_scope.cancel()
    router.close(1)


@asynccontextmanager
async def worker(transport: Transport, where: str) -> AsyncIterator[None]:
    plugin = type("Plugin", (), {"trizmq_register_routes": trizmq.hookimpl(lambda self: routes)})()
    plugin.trizmq_register_routes.__func__.__name__ = "trizmq_register_routes"
    settings = settings_of({"backend": where})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(work_on, transport, App([plugin]), settings)
        yield
        nursery.cancel_scope.cancel()


async def test_clients_of_two_frontends_reach_workers_of_two_backends(loop, transport) -> None:
    async with port(loop, transport, "clients") as one, port(loop, transport, "clients") as two:
        async with port(loop, transport, "workers") as left, port(loop, transport, "workers") as r:
            async with worker(transport, left), worker(transport, r):
                async with open_client_on(transport, one) as a, open_client_on(transport, two) as b:
                    for client in (a, b):
                        calls = [("GET", f"/echo/{number}") for number in range(40)]
                        responses = await client.call_many(calls)
                        assert [found.json() for found in responses] == list(range(40))
                    while len(loop.broker.workers) < 2:
                        await trio.sleep(0.01)
                    workers = (await a.get("/mmi/workers")).json()
                    assert len({found["name"] for found in workers}) == 2
    assert loop.broker.clients == loop.broker.in_flight == 0
    assert loop.broker.frontends == loop.broker.backends == loop._sockets == []


async def test_a_socket_for_both_roles_can_be_added_and_removed(loop, transport) -> None:
    for _ in range(2):
        async with port(loop, transport, "both") as where, worker(transport, where):
            async with open_client_on(transport, where) as client:
                assert (await client.get("/echo/7")).json() == 7


async def test_removing_a_frontend_ends_its_calls_and_no_others(loop, transport, nursery) -> None:
    seen: list[tuple[str, int]] = []

    async def call(client: trizmq.Client, name: str) -> None:
        with suppress(trizmq.Unreachable):  # the other one, at the end of its block
            seen.append((name, (await client.get("/echo/slow")).status))

    async with port(loop, transport, "workers") as backend, worker(transport, backend):
        async with port(loop, transport, "clients") as staying:
            async with open_client_on(transport, staying) as other:
                router = transport.bind(endpoint(transport) + "x" * 3 * is_memory(transport))
                leaving = trio.CancelScope()

                async def serve(*, task_status: trio.TaskStatus[None]) -> None:
                    with leaving:
                        await loop.serve(loop.add_clients(router), task_status=task_status)

                await nursery.start(serve)
                async with open_client_on(transport, router.endpoint) as client:
                    nursery.start_soon(call, client, "leaving")
                    nursery.start_soon(call, other, "staying")
                    with trio.fail_after(5):
                        while sum(worker.busy for worker in loop.broker.workers) < 2:
                            await trio.sleep(0.01)
                        leaving.cancel()
                        while not seen:
                            await trio.sleep(0.01)
                router.close()
                assert seen == [("leaving", 502)]
                assert loop.broker.in_flight == 1
                assert (await other.get("/echo/5")).json() == 5
    assert loop.broker.in_flight == 0


async def test_calls_of_a_removed_backend_go_to_the_workers_of_another(
    loop, transport, nursery
) -> None:
    async def busy() -> None:
        with trio.fail_after(5):
            while not any(worker.busy for worker in loop.broker.workers):
                await trio.sleep(0.01)

    async with port(loop, transport, "clients") as where:
        async with open_client_on(transport, where) as client:
            async with trio.open_nursery() as callers:
                router = transport.bind(endpoint(transport) + "first" * is_memory(transport))
                async with worker(transport, router.endpoint):
                    async with trio.open_nursery() as leaving:
                        await leaving.start(loop.serve, loop.add_workers(router))
                        callers.start_soon(client.get, "/echo/slow")
                        await busy()
                        leaving.cancel_scope.cancel()
                    assert loop.broker.workers == []
                    assert loop.broker.in_flight == 1
                router.close()
                async with port(loop, transport, "workers") as second, worker(transport, second):
                    await busy()
                    (given,) = loop.broker.workers[0].flights.values()
                    assert (given.attempts, given.deaths) == (2, 0)
                    callers.cancel_scope.cancel()


async def test_a_local_client_needs_no_socket(loop, transport) -> None:
    with open_local_client(loop, "gateway") as client:
        assert client.is_connected
        assert (await client.get("/mmi/health")).status == 200
        async with port(loop, transport, "workers") as where, worker(transport, where):
            assert (await client.get("/echo/3")).json() == 3
            assert (await client.post("/echo", body=b"x" * 100_000)).body == b"x" * 100_000
            numbers = [("GET", f"/echo/{number}") for number in range(50)]
            assert [it.json() for it in await client.call_many(numbers)] == list(range(50))
            assert (await client.get("/echo/none")).status == 404
    assert loop.broker.clients == 0
    with pytest.raises(trio.ClosedResourceError):
        await client.get("/echo/3")


async def test_a_local_client_cancels_a_call_when_its_caller_is_cancelled(loop, transport) -> None:
    async with port(loop, transport, "workers") as where, worker(transport, where):
        with open_local_client(loop, "gateway") as client:
            assert (await client.get("/echo/3")).json() == 3
            with trio.move_on_after(0.1) as scope:
                await client.get("/echo/slow")
            assert scope.cancelled_caught
            while any(worker.busy for worker in loop.broker.workers):
                await trio.sleep(0.01)
            assert (loop.broker.in_flight, loop.broker.counters.cancelled) == (0, 1)


async def test_the_end_of_a_local_client_ends_its_calls(loop, transport, nursery) -> None:
    failed = trio.Event()

    async def call(client: trizmq.Client) -> None:
        with pytest.raises(trizmq.Unreachable, match="closed"):
            await client.get("/echo/slow")
        failed.set()

    async with port(loop, transport, "workers") as where, worker(transport, where):
        with open_local_client(loop, "gateway") as client:
            nursery.start_soon(call, client)
            while not any(worker.busy for worker in loop.broker.workers):
                await trio.sleep(0.01)
        await failed.wait()
        assert loop.broker.in_flight == 0
