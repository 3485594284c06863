"""Any client reaches any worker: all combinations of both kinds, including parts.

Frame boundaries are preserved if both ends have them. Clients that can read parts receive them
one by one, in order; other clients receive all of them in one reply.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.processes.work import work_on
from trizmq.settings import Settings
from trizmq.transport.zeromq import ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

routes = trizmq.Router()


@routes.post("/echo")
async def echo(request: trizmq.Request) -> trizmq.Response:
    """Reply with the body, and the number of its frames."""
    body = b"%d:" % len(request.frames) + b"|".join(request.frames)
    return trizmq.Response(200, trizmq.Headers({"content-type": "application/octet-stream"}), body)


@routes.post("/parts")
async def parts(request: trizmq.Request) -> None:
    """Reply in three parts, like the MDP workers below."""
    later = request.reply_later()
    for part in (b"one", b"two", b"three"):
        later.acknowledge(part)
    later.respond(b"end")


# -- workers: each is a context in which the services `echo` and `parts` are served --------------


@asynccontextmanager
async def in_process(open_server, connect, tmp_path) -> AsyncIterator[Any]:
    async with open_server(routes) as server:
        yield server


@asynccontextmanager
async def native_worker(open_server, plugin, tmp_path, dialect="native") -> AsyncIterator[Any]:
    """Our own worker in a separate loop, in a dialect of MDP if requested."""
    app = App(load([plugin(routes)]), state_dir=tmp_path / "worker")
    async with open_server() as server:
        transport = ZmqTransport(max_frame=20_000_000)
        work = partial(
            work_on, transport, app, Settings(backend=server.backend, dialect=dialect, capacity=2)
        )
        async with running(work):
            await until_served(server)
            yield server
        await transport.aclose()


@asynccontextmanager
async def raw_worker(open_server, connect, start, final, partial_code=None) -> AsyncIterator[Any]:
    """Two MDP workers, frame by frame."""
    async with open_server() as server, trio.open_nursery() as nursery:
        for service in (b"echo", b"parts"):
            worker = connect(server.backend)
            worker.send(*start, b"\x01", service)
            nursery.start_soon(serve_raw, worker, service, start, final, partial_code)
        await until_served(server)
        yield server
        nursery.cancel_scope.cancel()


async def serve_raw(worker, service, start, final, partial_code) -> None:
    at = len(start)
    while True:
        frames = await worker.receive(60)
        if frames[at] != b"\x02":
            continue
        address, body = frames[at + 1], frames[at + 3 :]
        if service == b"parts" and partial_code:
            for part in (b"one", b"two", b"three"):
                worker.send(*start, partial_code, address, b"", part)
            worker.send(*start, final, address, b"", b"end")
        elif service == b"parts":  # RFC 7 has no PARTIAL: a reply of several frames
            worker.send(*start, final, address, b"", b"one", b"two", b"three", b"end")
        else:
            said = b"%d:" % len(body) + b"|".join(body)
            worker.send(*start, final, address, b"", said)


@asynccontextmanager
async def packed_worker(open_server, connect) -> AsyncIterator[Any]:
    """Two workers in the format of the C library, byte by byte."""
    async with open_server() as server, trio.open_nursery() as nursery:
        for service in (b"echo", b"parts"):
            worker = connect(server.backend)
            worker.send(b"\xaa\xa4\x04\x06MDPW02\x01" + bytes([len(service)]) + service)
            nursery.start_soon(serve_packed, worker, service)
        await until_served(server)
        yield server
        nursery.cancel_scope.cancel()


async def serve_packed(worker, service) -> None:
    while True:
        first, *frames = await worker.receive(60)
        if first != b"\xaa\xa4\x05\x06MDPW02\x02":
            continue
        address, body = frames[0], frames[2:]
        partial, final = b"\xaa\xa4\x06\x06MDPW02\x03", b"\xaa\xa4\x07\x06MDPW02\x04"
        if service == b"parts":
            for part in (b"one", b"two", b"three"):
                worker.send(partial, address, b"", part)
            worker.send(final, address, b"", b"end")
        else:
            worker.send(final, address, b"", b"%d:" % len(body) + b"|".join(body))


async def until_served(server) -> None:
    with trio.fail_after(5):
        while not all(
            name in server.broker.services and server.broker.services[name].workers
            for name in ("echo", "parts")
        ):
            await trio.sleep(0.002)


WORKERS = [
    *("in-process", "native", "ours-mdp01", "ours-mdp02", "ours-packed"),
    *("mdp01", "mdp02", "delimited", "packed"),
]


@pytest.fixture
def open_worker(open_server, connect, plugin, tmp_path):
    """``async with open_worker(kind) as server``: a broker with a worker of that kind."""

    def open_one(kind: str):
        match kind:
            case "in-process":
                return in_process(open_server, connect, tmp_path)
            case "native":
                return native_worker(open_server, plugin, tmp_path)
            case "ours-mdp01" | "ours-mdp02" | "ours-packed":
                return native_worker(open_server, plugin, tmp_path, kind.removeprefix("ours-"))
            case "packed":
                return packed_worker(open_server, connect)
            case "mdp01":
                return raw_worker(open_server, connect, [b"", b"MDPW01"], b"\x03")
            case "mdp02":
                return raw_worker(open_server, connect, [b"MDPW02"], b"\x04", b"\x03")
        return raw_worker(open_server, connect, [b"", b"MDPW02"], b"\x04", b"\x03")

    return open_one


# -- clients: each calls a service with two frames, and returns the replies as lists of frames ----


async def call_native(server, connect, service: str) -> list[list[bytes]]:
    async with trizmq.open_client(server.endpoint) as client:
        with trio.fail_after(5):
            response = await client.post(f"/{service}", body=b"a|b")
        assert response.status == 200
        return [[response.body]]


async def call_plain(server, connect, service: str) -> list[list[bytes]]:
    peer = connect(server.endpoint)
    head = {"method": "POST", "path": f"/{service}", "timeout": 5}
    peer.send(b"", json.dumps(head).encode(), b"a", b"b")
    empty, reply, *body = await peer.receive()
    assert empty == b""
    assert json.loads(reply)["status"] == 200
    return [body]


async def call_mdp(request, reply, last, server, connect, service: str) -> list[list[bytes]]:
    """Call with MDP: ``reply`` is the opening of each reply, ``last`` the code of the last one."""
    peer = connect(server.endpoint)
    peer.send(*request, service.encode(), b"a", b"b")
    replies = []
    while True:
        frames = await peer.receive()
        assert frames[: len(reply)] == reply
        rest = frames[len(reply) :]
        code = rest.pop(0) if last else None
        if last != b"\x04":  # majortomo's replies do not name the service
            assert rest.pop(0) == service.encode()
        replies.append(rest)
        if code == last:
            return replies


async def call_packed(server, connect, service: str) -> list[list[bytes]]:
    peer = connect(server.endpoint)
    name = bytes([len(service)]) + service.encode()
    peer.send(b"\xaa\xa4\x01\x06MDPC02\x01" + name, b"a", b"b")
    replies = []
    while True:
        first, *frames = await peer.receive()
        replies.append(frames)
        if first == b"\xaa\xa4\x03\x06MDPC02\x03" + name:
            return replies
        assert first == b"\xaa\xa4\x02\x06MDPC02\x02" + name


CLIENTS: dict[str, Any] = {
    "native": call_native,
    "plain": call_plain,
    "mdp01": partial(call_mdp, [b"", b"MDPC01"], [b"", b"MDPC01"], None),
    "mdp02": partial(call_mdp, [b"MDPC02", b"\x01"], [b"MDPC02"], b"\x03"),
    "delimited": partial(call_mdp, [b"", b"MDPC02", b"\x01"], [b"", b"MDPC02"], b"\x03"),
    "majortomo": partial(call_mdp, [b"", b"MDPC02", b"\x02"], [b"", b"MDPC02"], b"\x04"),
    "packed": call_packed,
}

PAIRS = pytest.mark.parametrize(
    ("client", "worker"), [(client, worker) for client in CLIENTS for worker in WORKERS]
)


@PAIRS
async def test_a_call_and_its_reply(open_worker, connect, client, worker) -> None:
    async with open_worker(worker) as server:
        ((body,),) = await CLIENTS[client](server, connect, "echo")
    assert body == (b"1:a|b" if client == "native" else b"2:a|b")


@PAIRS
async def test_a_reply_in_parts(open_worker, connect, client, worker) -> None:
    async with open_worker(worker) as server:
        replies = await CLIENTS[client](server, connect, "parts")
    frames = [b"one", b"two", b"three", b"end"]
    if client == "native":
        assert replies == [[b"".join(frames)]]
    elif client in ("plain", "mdp01") or worker.endswith("mdp01"):
        assert replies == [frames]
    else:
        assert replies == [[frame] for frame in frames]


async def test_a_large_body_and_many_frames_arrive_whole(open_worker, connect) -> None:
    frames = [bytes([number]) * (100_000 * (number % 2)) for number in range(28)]
    async with open_worker("native") as server:
        peer = connect(server.endpoint)
        peer.send(b"MDPC02", b"\x01", b"echo", *frames)
        assert (await peer.receive())[-1] == b"28:" + b"|".join(frames)


async def test_cancelling_the_caller_frees_the_room_at_a_worker_process(
    open_server, plugin, tmp_path
) -> None:
    """Repeatedly: a worker with two slots has room after a hundred such calls."""
    sleepy = trizmq.Router()

    @sleepy.get("/echo/forever")
    async def forever() -> None:
        await trio.sleep_forever()

    @sleepy.get("/echo/now")
    async def now() -> int:
        return 1

    sleepy.post("/parts")(parts)
    app = App(load([plugin(sleepy)]), state_dir=tmp_path / "worker")
    async with open_server() as server:
        transport = ZmqTransport(max_frame=20_000_000)
        async with (
            running(partial(work_on, transport, app, Settings(backend=server.backend, capacity=2))),
            trizmq.open_client(server.endpoint) as client,
        ):
            await until_served(server)
            for _ in range(100):
                with trio.move_on_after(0.005):
                    await client.get("/echo/forever")
            with trio.fail_after(5):
                assert (await client.get("/echo/now")).json() == 1
                while server.broker.services["echo"].in_flight:
                    await trio.sleep(0.01)
        await transport.aclose()
