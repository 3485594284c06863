"""Our worker at brokers and with clients from other implementations.

All of them are processes: the brokers of PyPI's majortomo and of pyzmq-mdp, which only needs
replacements for parts that pyzmq has dropped since 2013 (`peers/old_pyzmq.py`).
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
import trio

from tests.interop.conftest import needs_pyzmq_mdp

PEERS = Path(__file__).parent / "peers"

#: The broker, and the dialect that our worker and its clients use.
BROKERS = [
    pytest.param("majortomo", "majortomo", id="majortomo"),
    pytest.param("pyzmq_mdp", "mdp01", id="pyzmq-mdp", marks=needs_pyzmq_mdp),
]

REQUEST = {"majortomo": [b"", b"MDPC02", b"\x02"], "mdp01": [b"", b"MDPC01"]}
REPLY = {"majortomo": [b"", b"MDPC02", b"\x04"], "mdp01": [b"", b"MDPC01"]}


async def call(client, dialect: str, service: str, *body: bytes, seconds: float = 15) -> list:
    """Call, and return the frames of the last reply."""
    client.send(*REQUEST[dialect], service.encode(), *body)
    frames = await client.receive(seconds)
    head = REPLY[dialect] + ([service.encode()] if dialect == "mdp01" else [])
    assert frames[: len(head)] == head
    return frames[len(head) :]


async def until_served(connect, endpoint: str, dialect: str, service: str = "echo"):
    """Return a client of a broker that has a worker for ``service``.

    pyzmq-mdp drops calls without a worker, and majortomo keeps them.
    """
    with trio.fail_after(20):
        while True:
            client = connect(endpoint)
            with trio.move_on_after(0.5):
                await call(client, dialect, service, b"0")
                return client
            client.close()


@pytest.mark.slow
@pytest.mark.parametrize(("broker", "dialect"), BROKERS)
async def test_our_worker_replies_at_a_foreign_broker(
    start, connect, tmp_path, broker, dialect
) -> None:
    endpoint = f"ipc://{tmp_path}/broker"
    start(f"{broker}_broker", endpoint)
    ours = start("our_worker", endpoint, dialect)
    client = await until_served(connect, endpoint, dialect)
    for number in range(50):
        assert await call(client, dialect, "echo", b"%d" % number, b"x") == [b"%d|x" % number]
    # One of its sockets works for longer than either broker tolerates silence; the others wait, and
    # one of the brokers sends them heartbeats, every 2.5 s.
    assert await call(client, dialect, "slow", b"4.5") == [b"4.5"]
    assert await call(client, dialect, "echo", b"still", b"there") == [b"still|there"]
    ours.send_signal(signal.SIGTERM)
    assert await trio.to_thread.run_sync(ours.wait) == 0


@pytest.mark.slow
async def test_our_worker_streams_to_majortomo(start, connect, tmp_path) -> None:
    endpoint = f"ipc://{tmp_path}/broker"
    start("majortomo_broker", endpoint)
    start("our_worker", endpoint, "majortomo")
    client = connect(endpoint)
    client.send(b"", b"MDPC02", b"\x02", b"parts", b"one", b"two")
    for code, body in ((b"\x03", b"one"), (b"\x03", b"two"), (b"\x04", b"end")):
        assert await client.receive(15) == [b"", b"MDPC02", code, body]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broker", "dialect", "caller"),
    [
        ("majortomo", "majortomo", "majortomo_client"),
        pytest.param("pyzmq_mdp", "mdp01", "pyzmq_mdp_client", marks=needs_pyzmq_mdp),
    ],
)
async def test_between_a_foreign_broker_and_a_foreign_client(
    start, connect, tmp_path, broker, dialect, caller
) -> None:
    endpoint = f"ipc://{tmp_path}/broker"
    start(f"{broker}_broker", endpoint)
    start("our_worker", endpoint, dialect)
    await until_served(connect, endpoint, dialect)
    command = [sys.executable, str(PEERS / f"{caller}.py"), endpoint, "echo", '{"a": 1}', "20"]
    with trio.fail_after(20):
        done = await trio.run_process(command, capture_stdout=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"a": 1}] * 20


@pytest.mark.slow
@pytest.mark.parametrize(("broker", "dialect"), BROKERS)
async def test_our_worker_returns_when_the_broker_does(
    start, connect, tmp_path, broker, dialect
) -> None:
    endpoint = f"ipc://{tmp_path}/broker"
    first = start(f"{broker}_broker", endpoint)
    start("our_worker", endpoint, dialect)
    await until_served(connect, endpoint, dialect)
    first.kill()
    first.wait()
    start(f"{broker}_broker", endpoint)
    client = await until_served(connect, endpoint, dialect)
    assert await call(client, dialect, "echo", b"again") == [b"again"]
