"""Workers from other implementations at our broker: PyPI's majortomo and pyzmq-mdp."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import trizmq
from tests.interop.conftest import needs_pyzmq_mdp

PEERS = Path(__file__).parent / "peers"

WORKERS = pytest.mark.parametrize(
    "worker",
    [
        pytest.param("majortomo_worker", id="majortomo"),
        pytest.param("pyzmq_mdp_worker", id="pyzmq-mdp", marks=needs_pyzmq_mdp),
    ],
)

CALLERS = pytest.mark.parametrize(
    "caller",
    [
        pytest.param("majortomo_client", id="majortomo"),
        pytest.param("pyzmq_mdp_client", id="pyzmq-mdp", marks=needs_pyzmq_mdp),
    ],
)


async def until_served(server, count: int = 1) -> None:
    with trio.fail_after(10):
        while len(server.broker.workers) != count:
            await trio.sleep(0.01)


@WORKERS
async def test_our_client_and_a_foreign_worker(open_server, start, worker) -> None:
    async with open_server() as server, trizmq.open_client(server.endpoint) as client:
        start(worker, server.backend, "echo")
        await until_served(server)
        with trio.fail_after(10):
            calls: Any = [("POST", "/echo", {"body": b"x%d" % n}) for n in range(100)]
            responses = await client.call_many(calls)
    assert [response.body for response in responses] == [b"x%d" % n for n in range(100)]


@WORKERS
@CALLERS
async def test_a_foreign_client_and_a_foreign_worker(open_server, start, worker, caller) -> None:
    async with open_server() as server:
        start(worker, server.backend, "echo")
        await until_served(server)
        command = [
            sys.executable,
            str(PEERS / f"{caller}.py"),
            server.endpoint,
            "echo",
            '"a"',
            "20",
        ]
        with trio.fail_after(20):
            done = await trio.run_process(command, capture_stdout=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == ["a"] * 20


async def test_parts_of_a_foreign_worker(open_server, start, connect) -> None:
    async with open_server() as server:
        start("majortomo_worker", server.backend, "echo")
        await until_served(server)
        client = connect(server.endpoint)
        client.send(b"MDPC02", b"\x01", b"echo", b"a", b"b", b"c")
        for code, body in ((b"\x02", b"a"), (b"\x02", b"b"), (b"\x03", b"c")):
            assert await client.receive() == [b"MDPC02", code, b"echo", body]


@pytest.mark.slow
@needs_pyzmq_mdp
async def test_a_foreign_worker_is_kept_while_it_waits_and_while_it_works(
    open_server, start
) -> None:
    """One of them sends heartbeats every 2.5 s or later, and never while it works."""
    async with open_server() as server, trizmq.open_client(server.endpoint) as client:
        start("majortomo_worker", server.backend, "echo")
        start("majortomo_worker", server.backend, "busy")
        start("pyzmq_mdp_worker", server.backend, "old")
        await until_served(server, 3)
        names = {worker.name for worker in server.broker.workers}
        with trio.fail_after(15):
            assert (await client.post("/busy", body=b"6.5")).body == b"6.5"
        assert {worker.name for worker in server.broker.workers} == names
        assert server.broker.counters.disconnected == 0
        with trio.fail_after(5):
            assert (await client.post("/echo", body=b"a")).body == b"a"
            assert (await client.post("/old", body=b"b")).body == b"b"


@pytest.mark.slow
@WORKERS
async def test_calls_of_a_killed_foreign_worker_go_to_another(
    open_server, start, connect, worker
) -> None:
    async with open_server() as server, trizmq.open_client(server.endpoint) as client:
        first = start(worker, server.backend, "echo")
        await until_served(server)
        first.kill()
        first.wait()
        start(worker, server.backend, "echo")
        with trio.fail_after(10):
            response = await client.post("/echo", body=b"a", headers={"idempotency-key": "k"})
        assert response.body == b"a"
