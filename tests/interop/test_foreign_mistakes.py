"""Peers that make mistakes: each gets an error immediately, and the next call is answered."""

from __future__ import annotations

import json
import logging
from typing import NamedTuple

import pytest
import trio
import zmq

import trizmq
from trizmq.messages import PROBLEM

routes = trizmq.Router()


@routes.post("/here")
async def here() -> int:
    return 1


class Says(NamedTuple):
    """The commands of an MDP worker."""

    start: list[bytes]
    final: bytes
    heartbeat: bytes
    disconnect: bytes


MDP01 = Says([b"", b"MDPW01"], b"\x03", b"\x04", b"\x05")
MDP02 = Says([b"MDPW02"], b"\x04", b"\x05", b"\x06")
DELIMITED = Says([b"", b"MDPW02"], b"\x04", b"\x05", b"\x06")

WORKERS = pytest.mark.parametrize(
    "says",
    [
        pytest.param(MDP01, id="mdp01"),
        pytest.param(MDP02, id="mdp02"),
        pytest.param(DELIMITED, id="delimited"),
    ],
)

#: Replacements for the frames after the opening of a FINAL; None means the token.
BAD_REPLIES: dict[str, list[bytes | None]] = {
    "no body": [None, b""],
    "nothing behind the address": [None],
    "nothing at all": [],
    "an empty address": [b"", b"", b"x"],
    "too many frames": [None, b"", *[b"x"] * 65],
}


async def ready(worker, says: Says, service: bytes = b"echo") -> None:
    worker.send(*says.start, b"\x01", service)


async def until_served(server, service: str = "echo", workers: int = 1) -> None:
    with trio.fail_after(5):
        while getattr(server.broker.services.get(service), "workers", 0) != workers:
            await trio.sleep(0.002)


async def ask(client, path: str, method: str = "POST", *body: bytes) -> tuple[dict, list[bytes]]:
    client.send(b"", json.dumps({"method": method, "path": path, "timeout": 5}).encode(), *body)
    _, head, *frames = await client.receive()
    return json.loads(head), frames


@WORKERS
@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("kind", BAD_REPLIES)
async def test_an_unreadable_reply_is_a_502_at_once_and_its_worker_may_come_back(
    open_server, connect, says, kind, method
) -> None:
    async with open_server() as server:
        worker, client = connect(server.backend), connect(server.endpoint)
        await ready(worker, says)
        await until_served(server)
        for _ in range(3):
            client.send(b"", json.dumps({"method": method, "path": "/echo"}).encode(), b"a")
            address = (await worker.receive_other([*says.start, says.heartbeat]))[
                len(says.start) + 1
            ]
            reply = [address if frame is None else frame for frame in BAD_REPLIES[kind]]
            worker.send(*says.start, says.final, *reply)
            _, head = await client.receive(1.0)
            problem = json.loads(head)
            assert problem["status"] == 502
            assert "cannot be read" in problem["body"]["detail"]
            assert problem["body"]["executed"] == "maybe"
            bye = await worker.receive_other([*says.start, says.heartbeat])
            assert bye == [*says.start, says.disconnect]
            await until_served(server, workers=0)
            await ready(worker, says)
            await until_served(server)
            client.send(b"", b'{"method": "POST", "path": "/echo"}', b"good")
            request = await worker.receive_other([*says.start, says.heartbeat])
            worker.send(*says.start, says.final, *request[len(says.start) + 1 :])
            assert await client.receive() == [b"", b'{"status":200}', b"good"]


@WORKERS
@pytest.mark.parametrize("junk", [[b"\x00"], [], [b"\x07", b"x"], [b"MDPW09"], [b"\x01", b"a\nb"]])
async def test_an_unreadable_command_ends_a_session_too(open_server, connect, says, junk) -> None:
    async with open_server() as server:
        worker = connect(server.backend)
        await ready(worker, says)
        await until_served(server)
        worker.send(*says.start, *junk)
        bye = await worker.receive_other([*says.start, says.heartbeat])
        assert bye == [*says.start, says.disconnect]
        await until_served(server, workers=0)
        await ready(worker, says)
        await until_served(server)


async def test_noise_from_a_worker_with_a_session_ends_it(open_server, connect) -> None:
    async with open_server() as server:
        worker = connect(server.backend)
        await ready(worker, MDP01)
        await until_served(server)
        worker.send(b"MDPW01", MDP01.final, b"C1", b"", b"x")  # the delimiter is missing
        assert await worker.receive() == [*MDP01.start, MDP01.disconnect]


@WORKERS
async def test_an_echo_of_any_accepted_request_is_read(open_server, connect, says) -> None:
    """The envelope does not count; a reply may have twice the frames of a request."""
    async with open_server() as server:
        worker, client = connect(server.backend), connect(server.endpoint)
        await ready(worker, says)
        await until_served(server)
        for count in (1, 28, 31, 32):
            body = [b"%d" % number for number in range(count)]
            client.send(b"one", b"two", b"", b"MDPC01", b"echo", *body)
            request = await worker.receive_other([*says.start, says.heartbeat])
            address, echoed = request[len(says.start) + 1], request[len(says.start) + 3 :]
            assert echoed == body
            worker.send(*says.start, says.final, address, b"", *body, *body)
            reply = await client.receive()
            assert reply == [b"one", b"two", b"", b"MDPC01", b"echo", *body, *body]


@WORKERS
async def test_a_reply_without_the_empty_frame_is_read(open_server, connect, says) -> None:
    """As the zguide's PHP worker sends it."""
    async with open_server() as server:
        worker, client = connect(server.backend), connect(server.endpoint)
        await ready(worker, says)
        await until_served(server)
        client.send(b"", b"MDPC01", b"echo", b"a")
        request = await worker.receive_other([*says.start, says.heartbeat])
        worker.send(*says.start, says.final, request[len(says.start) + 1], b"x", b"", b"y")
        assert await client.receive() == [b"", b"MDPC01", b"echo", b"x", b"", b"y"]


@pytest.mark.slow
async def test_workers_that_beat_every_six_seconds_stay(open_server, connect) -> None:
    """Workers receive a HEARTBEAT each second, even while they receive requests."""

    async def work(says: Says, service: bytes) -> None:
        worker, client = connect(server.backend), connect(server.endpoint)
        await ready(worker, says, service)
        await until_served(server, service.decode())
        for _ in range(2):  # other commands make no difference: some peers count only HEARTBEATs
            client.send(b"", b"MDPC01", service, b"a")
            request = await worker.receive_other([*says.start, says.heartbeat])
            worker.send(*says.start, says.final, *request[len(says.start) + 1 :])
            assert await client.receive() == [b"", b"MDPC01", service, b"a"]
            assert await worker.receive(1.5) == [*says.start, says.heartbeat]
        for _ in range(2):
            with trio.move_on_after(6.0):
                await trio.sleep_forever()
            worker.send(*says.start, says.heartbeat)
        client.send(b"", b"MDPC01", b"mmi.service", service)
        assert (await client.receive())[-1] == b"200"

    async with open_server() as server, trio.open_nursery() as nursery:
        nursery.start_soon(work, MDP01, b"one")
        nursery.start_soon(work, MDP02, b"two")
        nursery.start_soon(work, DELIMITED, b"three")


# -- names of services ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b", "/a%2Fb"),
        ("my service", "/my%20service"),
        ("echo@1", "/echo@1"),
        ("echo@1", "/echo%401"),
        ("größe", "/gr%C3%B6%C3%9Fe"),
        ("größe", "/größe"),
        ("日本", "/%E6%97%A5%E6%9C%AC"),
        ("x" * 65, "/" + "x" * 65),
        ("x" * 255, "/" + "x" * 255),
        ("100%", "/100%25"),
        ("what?", "/what%3F"),
        ("{}", "/{}"),
    ],
)
async def test_any_printable_name_is_served(open_server, connect, name, path) -> None:
    async with open_server() as server:
        worker, client = connect(server.backend), connect(server.endpoint)
        await ready(worker, MDP01, name.encode())
        await until_served(server, name)

        async def echo() -> None:
            for _ in range(3):
                request = await worker.receive_other([*MDP01.start, MDP01.heartbeat])
                worker.send(*MDP01.start, MDP01.final, *request[3:])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo)
            client.send(b"", b"MDPC01", name.encode(), b"a")
            assert await client.receive() == [b"", b"MDPC01", name.encode(), b"a"]
            assert await ask(client, path, "POST", b"b") == ({"status": 200}, [b"b"])
            async with trizmq.open_client(server.endpoint) as native:
                assert (await native.post(path, body=b"c")).body == b"c"
        client.send(b"", b"MDPC01", b"mmi.service", name.encode())
        assert (await client.receive())[-1] == b"200"


@WORKERS
@pytest.mark.parametrize(
    "name", [b"a\nb", b"\x00", b"\xff\xfe", b"x" * 256, b"GET /users", b"mmi.service", b""]
)
async def test_a_refused_name_gets_a_response_and_is_logged(
    open_server, connect, says, name, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trizmq.broker")
    async with open_server() as server:
        worker = connect(server.backend)
        await ready(worker, says, name)
        assert await worker.receive() == [*says.start, says.disconnect]
        [record] = [record for record in caplog.records if "refused" in record.getMessage()]
        assert repr(name[:40])[2:-1] in record.getMessage()
        await ready(worker, says, b"echo")
        await until_served(server)


# -- REQ sockets ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"hello"],
        [b"hello", b"", b"x"],
        [b"[]"],
        [b"\x82"],
        [b'{"path":"/x","query":{"b":"\x82"}}'],
        [b'\xef\xbb\xbf{"path": "/here", "method": "POST"}'],
        ['{"path": "/here"}'.encode("utf-16")],
        [b"MDPC01"],
        [b"MDPC01", b"here"],
        [b"MDPC02", b"\x01", b"here"],
        [b"MDPC02", b"\x02", b"here"],
        [b"MDPC02", b"\x09", b"here", b""],
        [b"MDPC01", b"here", *[b""] * 33],
        [b"MDPC03", b"here", b""],
        [b"MDPW01", b"\x01", b"here"],
        [b"MDPW02", b"\x01", b"here"],
        [b"\x93\x01\x02\x03"],
        [b"\xaa\xa4\x01\x06MDPC02\x01\x04here", b"x"],
    ],
)
async def test_a_req_socket_always_gets_a_response(open_server, connect, frames) -> None:
    async with open_server(routes) as server:
        client = connect(server.endpoint, zmq.REQ)
        client.send(*frames)
        assert await client.receive(2.0)
        client.send(b'{"method": "POST", "path": "/here"}')
        assert await client.receive(2.0) == [b'{"status":200,"body":1}']


async def test_an_invalid_request_gets_an_error(open_server, connect) -> None:
    async with open_server(routes) as server:
        client = connect(server.endpoint, zmq.REQ)
        client.send(b"GET /here")
        [head] = await client.receive()
        reply = json.loads(head)
        assert (reply["status"], reply["headers"]) == (400, {"content-type": PROBLEM})
        assert reply["body"]["executed"] == "no"


@pytest.mark.parametrize(
    "frames",
    [[b'{"path": "/here"}'], [b"MDPC01", b"here", b""], [b"MDPC02", b"\x01", b"here", b""]],
)
async def test_a_client_at_the_workers_port_gets_an_error(open_server, connect, frames) -> None:
    async with open_server(routes) as server:
        client = connect(server.backend, zmq.REQ)
        client.send(*frames)
        assert b"this port is for workers" in (await client.receive(2.0))[-1]
