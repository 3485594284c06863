"""Clients from other implementations, on the same port as ours, at the same time."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import zmq

import trizmq
from tests.interop.conftest import needs_pyzmq_mdp

PEERS = Path(__file__).parent / "peers"

AUGUST = {"id": 1, "name": "August"}


async def peer(name: str, endpoint: str, service: str, body: str = "", count: int = 1) -> list:
    """Run a foreign client in a separate process; return its replies, decoded from JSON."""
    command = [sys.executable, str(PEERS / f"{name}.py"), endpoint, service, body, str(count)]
    with trio.fail_after(30):
        done = await trio.run_process(command, capture_stdout=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def call_by_req_socket(endpoint: str, count: int) -> list:
    replies = []
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.connect(endpoint)
        for _ in range(count):
            socket.send_json({"method": "GET", "path": "/users/1"})
            reply: Any = socket.recv_json()
            replies.append(reply["body"])
    return replies


CLIENTS = [
    pytest.param("majortomo_client", id="majortomo"),
    pytest.param("pyzmq_mdp_client", id="pyzmq-mdp", marks=needs_pyzmq_mdp),
]


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_request_line_reaches_the_route(serving, name) -> None:
    async with serving("users") as endpoint:
        assert await peer(name, endpoint, "GET /users/1") == [AUGUST]
        assert await peer(name, endpoint, "GET /users") == [[AUGUST]]


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_service_name_is_a_post(serving, name) -> None:
    async with serving("users") as endpoint:
        (created,) = await peer(name, endpoint, "users", '{"name": "Ada"}')
        assert created["name"] == "Ada"


@pytest.mark.parametrize("name", CLIENTS)
async def test_errors_are_problem_documents(serving, name) -> None:
    async with serving("users") as endpoint:
        (missing,) = await peer(name, endpoint, "GET /users/2")
        (nobody,) = await peer(name, endpoint, "nobody", "{}")
        (wrong,) = await peer(name, endpoint, "users", '{"nme": 1}')
    assert (missing["status"], nobody["status"], wrong["status"]) == (404, 404, 422)
    assert "nme" in wrong["detail"] or "name" in wrong["detail"]


@pytest.mark.parametrize("name", CLIENTS)
async def test_mmi_reports_services(serving, name) -> None:
    async with serving("users") as endpoint:
        assert await peer(name, endpoint, "mmi.service", "users") == [200]
        assert await peer(name, endpoint, "mmi.service", "nobody") == [404]
        assert await peer(name, endpoint, "mmi.nothing", "users") == [501]


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_token_travels_as_a_header_line(serving, name, tmp_path) -> None:
    state = tmp_path / "state"
    async with serving("users", "auth", state_dir=state) as endpoint:
        token = (state / "admin-token").read_text().strip()
        (refused,) = await peer(name, endpoint, "GET /users/1")
        head = f"GET /users/1\nauthorization: Bearer {token}"
        assert await peer(name, endpoint, head) == [AUGUST]
    assert refused["status"] == 401


@needs_pyzmq_mdp
async def test_all_dialects_on_one_port_at_the_same_time(serving) -> None:
    got: dict[str, list] = {}

    async def collect(name: str, call) -> None:
        got[name] = await call()

    async with serving("users") as endpoint, trizmq.open_client(endpoint) as client:

        async def ours() -> list:
            return [(await client.get("/users/1")).json() for _ in range(500)]

        req = partial(trio.to_thread.run_sync, call_by_req_socket, endpoint, 200)
        async with trio.open_nursery() as nursery:
            for name in ("majortomo_client", "pyzmq_mdp_client"):
                call = partial(peer, name, endpoint, "GET /users/1", "", 200)
                nursery.start_soon(collect, name, call)
            nursery.start_soon(collect, "req", req)
            nursery.start_soon(collect, "ours", ours)
    assert got.pop("ours") == [AUGUST] * 500
    assert got == {name: [AUGUST] * 200 for name in ("majortomo_client", "pyzmq_mdp_client", "req")}
