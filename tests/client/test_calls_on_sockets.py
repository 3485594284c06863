"""One client, one server, real sockets: concurrency, one connection, waiting, deadlines."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest
import trio

import trizmq

routes = trizmq.Router()


@routes.get("/test/echo/{n:int}")
async def echo(n: int) -> int:
    return n


@routes.get("/test/sleep/{ms:int}")
async def sleep(ms: int) -> int:
    await trio.sleep(ms / 1000)
    return ms


@routes.get("/test/block/{ms:int}")
def block(ms: int) -> int:
    time.sleep(ms / 1000)
    return ms


def connections_to(port: int) -> int:
    """Count the established TCP connections whose far end is ``port``, as the kernel has them."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [line.split()[1:4] for line in lines]
    return sum(int(remote.split(":")[1], 16) == port and state == "01" for _, remote, state in ends)


def port_of(endpoint: str) -> int:
    return int(endpoint.rpartition(":")[2])


async def test_a_thousand_calls_share_one_connection(serving) -> None:
    got: list[int] = []
    async with serving(routes) as endpoint, trizmq.open_client(endpoint) as client:

        async def call(n: int) -> None:
            got.append((await client.get(f"/test/echo/{n}")).json())

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for n in range(1000):
                    nursery.start_soon(call, n)
        assert connections_to(port_of(endpoint)) == 1
    assert sorted(got) == list(range(1000))


async def test_calls_beyond_the_brokers_credit_wait_their_turn(serving) -> None:
    async with serving(routes) as endpoint, trizmq.open_client(endpoint) as client:
        with trio.fail_after(30):
            responses = await client.call_many([("GET", f"/test/echo/{n}") for n in range(5000)])
    assert [response.json() for response in responses] == list(range(5000))


async def test_responses_overtake_each_other(serving) -> None:
    order: list[int] = []
    async with serving(routes) as endpoint, trizmq.open_client(endpoint) as client:

        async def call(ms: int) -> None:
            order.append((await client.get(f"/test/sleep/{ms}")).json())

        async with trio.open_nursery() as nursery:
            for ms in (600, 300, 0):
                nursery.start_soon(call, ms)
                await trio.sleep(0.05)
    assert order == [0, 300, 600]


async def test_ten_sleeping_handlers_overlap(serving) -> None:
    async with serving(routes) as endpoint, trizmq.open_client(endpoint) as client:
        await client.get("/test/echo/1")
        began = trio.current_time()
        await client.call_many([("GET", "/test/sleep/100")] * 10)
        assert trio.current_time() - began < 0.8  # one after another it would be 1.0


async def test_a_handler_that_blocks_in_a_thread_delays_no_other_call(serving) -> None:
    async with serving(routes) as endpoint, trizmq.open_client(endpoint) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, "/test/block/2000")
            await trio.sleep(0.1)
            with trio.fail_after(1):
                assert (await client.get("/test/echo/7")).json() == 7
            nursery.cancel_scope.cancel()


async def test_a_call_before_the_server_starts_waits_for_it(serving) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    got: list[int] = []
    async with trizmq.open_client(endpoint) as client:

        async def call() -> None:
            got.append((await client.get("/test/echo/1")).status)

        with trio.fail_after(15):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                await trio.sleep(2)
                assert not got
                async with serving(routes, bind=endpoint):
                    while not got:
                        await trio.sleep(0.01)
    assert got == [200]


async def test_without_a_server_a_call_is_unreachable_and_not_executed() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        with trizmq.SyncClient(endpoint) as client, pytest.raises(trizmq.Unreachable) as info:
            client.get("/test/echo/1", timeout=0.3)
    assert info.value.executed == "no"


async def test_the_callers_deadline_cancels_the_handler(serving) -> None:
    ends: list[str] = []
    own = trizmq.Router()

    @own.get("/test/long")
    async def long() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            ends.append("cancelled")
            raise

    async with serving(own) as endpoint, trizmq.open_client(endpoint) as client:
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.2):
            await client.get("/test/long")
        with trio.fail_after(1):
            while not ends:
                await trio.sleep(0.01)
    assert ends == ["cancelled"]


async def test_a_deadline_that_passes_in_the_queue_is_504_and_never_runs(serving) -> None:
    import zmq  # a peer that does not end its own calls, so that the broker's 504 is seen

    ran: list[int] = []
    own = trizmq.Router()

    @own.get("/test/hold")
    async def hold() -> None:
        await trio.sleep(1)

    @own.get("/test/mark")
    async def mark() -> None:
        ran.append(1)

    async with serving(own, capacity=1) as endpoint, trizmq.open_client(endpoint) as client:
        with zmq.Context() as context, context.socket(zmq.REQ) as peer:
            peer.linger = 0
            peer.connect(endpoint)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.get, "/test/hold")
                await trio.sleep(0.2)
                peer.send_json({"path": "/test/mark", "timeout": 0.2})
                reply: Any = await trio.to_thread.run_sync(peer.recv_json)
    assert (reply["status"], reply["body"]["executed"]) == (504, "no")
    assert ran == []


async def test_a_nested_call_gets_at_most_what_its_own_call_has_left(serving) -> None:
    own = trizmq.Router()
    budgets: list[float] = []
    inner: list[trizmq.Client] = []

    @own.get("/test/outer")
    async def outer(request: trizmq.Request) -> object:
        return (await inner[0].get("/test/inner")).json()

    @own.get("/test/inner")
    async def inner_handler(request: trizmq.Request) -> int:
        budgets.append(request.deadline - trio.current_time())
        return 1

    async with serving(own) as endpoint, trizmq.open_client(endpoint) as client:
        inner.append(client)
        with trio.fail_after(3):
            assert (await client.get("/test/outer")).json() == 1
    assert 0 < budgets[0] <= 3.01


@pytest.mark.slow
async def test_a_thousand_clients_leave_nothing_behind(serving) -> None:
    def open_files() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    def threads() -> int:
        # Trio keeps idle threads for 10 s: they are no leak.
        names = [task / "comm" for task in Path("/proc/self/task").iterdir()]
        return sum("Trio" not in name.read_text() for name in names if name.exists())

    async def one_life() -> None:
        async with serving(routes) as endpoint, trizmq.open_client(endpoint) as client:
            assert (await client.get("/test/echo/1")).status == 200

    for _ in range(5):
        await one_life()
    files, running = open_files(), threads()
    tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(1000):
        await one_life()
    await trio.sleep(0.1)
    assert open_files() <= files
    assert threads() <= running
    assert trio.lowlevel.current_statistics().tasks_living == tasks
