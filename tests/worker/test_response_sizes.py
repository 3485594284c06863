"""A response that is too large is a 500 and a line in the log; other calls are not affected."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import zmq

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.client.opening import open_client_on
from trizmq.limits import limits_of
from trizmq.processes.server import Server
from trizmq.processes.work import work
from trizmq.settings import Settings
from trizmq.transport.memory import MemoryTransport
from trizmq.wire import native
from trizmq.wire.items import Call, Hello, Response, Takes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MIB = 1024 * 1024
LARGE = bytes(17 * MIB)

routes = trizmq.Router()
began: list[str] = []


@routes.any("/large/{how}")
async def large(how: str, request: trizmq.Request) -> trizmq.Response:
    began.append(how)
    headers = {
        "fields": {f"a{n}": "x" for n in range(65)},
        "field": {"a": "x" * 5000},
        "letters": {"a": "é" * 3000},
        "headers": {f"a{n}": "x" * 4000 for n in range(5)},
    }
    if how in headers:
        return trizmq.Response(200, trizmq.Headers(headers[how]), body=b'"x"')
    return trizmq.Response(200, body=LARGE)


@routes.get("/large/thread")
def in_thread() -> bytes:
    return LARGE


@routes.get("/large/just")
async def just() -> bytes:
    return LARGE[: 16 * MIB]


@routes.get("/large/later")
async def later(request: trizmq.Request) -> None:
    request.reply_later().respond(LARGE)


@routes.get("/large/part")
async def part(request: trizmq.Request) -> None:
    it = request.reply_later()
    assert not it.acknowledge(LARGE)
    assert not it.respond(b"")


@routes.get("/large/parts")
async def parts(request: trizmq.Request) -> None:
    it = request.reply_later()
    for _ in range(4):
        assert it.acknowledge(LARGE[: 4 * MIB])
    assert it.respond(b"x")


@routes.get("/large/slow")
async def slow() -> int:
    await trio.sleep(0.5)
    return 1


@asynccontextmanager
async def serving_as(mode: str, plugin: Any, open_server: Any) -> AsyncIterator[str]:
    """Serve the routes in the server's own process, or with a worker of the dialect ``mode``."""
    async with AsyncExitStack() as stack:
        if mode == "here":
            server = await stack.enter_async_context(open_server(routes))
        else:
            server = await stack.enter_async_context(open_server())
            start = partial(
                work, connect=server.backend, plugins=[plugin(routes)], dialect=mode, capacity=4
            )
            await stack.enter_async_context(running(start))
        yield server.endpoint


@pytest.mark.parametrize("mode", ["here", "native"])
async def test_a_response_that_is_too_large_is_one_500(mode, plugin, open_server, caplog) -> None:
    hows = ["body", "thread", "later", "part", "parts", "fields", "field", "letters", "headers"]
    async with serving_as(mode, plugin, open_server) as endpoint:
        async with trizmq.open_client(endpoint) as client:
            slow_ones = [("GET", "/large/slow")] * 3
            for how in hows:
                with trio.fail_after(10):
                    response, *others = await client.call_many(
                        [("GET", f"/large/{how}"), *(slow_ones if how == "body" else ())]
                    )
                assert response.status == 500, how
                assert response.json()["executed"] == "maybe"
                assert response.json()["request_id"]
                assert [other.status for other in others] in ([], [200] * 3)
            assert (await client.get("/large/just")).body == LARGE[: 16 * MIB]
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(lines) == len(hows)
    assert f"GET /large/{{how}}: the response has {len(LARGE)} bytes" in lines[0]
    assert "body_bytes is 16777216" in lines[0]
    assert "/large/thread" in lines[1]


@pytest.mark.parametrize("mode", ["here", "native"])
async def test_a_post_with_too_large_a_response_runs_once(mode, plugin, open_server) -> None:
    began.clear()
    async with serving_as(mode, plugin, open_server) as endpoint:
        async with trizmq.open_client(endpoint) as client, trizmq.open_client(endpoint) as other:
            with trio.fail_after(10):
                assert (await client.post("/large/body")).status == 500
                assert (await other.get("/large/slow")).status == 200
    assert began == ["body"]


whole = trizmq.Router()


@whole.post("/whole")
async def at_the_name() -> bytes:
    began.append("whole")
    return LARGE


@pytest.mark.parametrize("dialect", ["mdp01", "mdp02", "majortomo"])
async def test_an_mdp_worker_replies_with_the_error(dialect, plugin, open_server, caplog) -> None:
    began.clear()
    async with open_server() as server:
        start = partial(work, connect=server.backend, plugins=[plugin(whole)], dialect=dialect)
        async with running(partial(start, capacity=1)), trizmq.open_client(server.endpoint) as it:
            for _ in range(2):
                with trio.fail_after(10):
                    response = await it.post("/whole")
                # MDP has no status, only the problem document.
                assert response.json()["status"] == 500
    assert began == ["whole"] * 2
    assert "POST /whole: the response has" in caplog.text


@pytest.mark.parametrize("body_bytes", [1024, 100_000, 2 * MIB, 40 * MIB])
async def test_a_response_at_every_limit_is_sent_and_above_it_is_not(
    body_bytes, plugin, tmp_path, open_server, caplog
) -> None:
    own = trizmq.Router()

    @own.post("/own/{size:int}")
    async def answer(size: int, request: trizmq.Request) -> bytes:
        return bytes(size)

    async with open_server(body_bytes=body_bytes) as server:
        start = partial(work, connect=server.backend, plugins=[plugin(own)], capacity=40)
        start = partial(start, limits={"body_bytes": body_bytes})
        most = min(body_bytes, 16 * MIB)  # the client's limit applies too
        async with running(start), trizmq.open_client(server.endpoint) as client:
            with trio.fail_after(25):
                sizes = [most, most + 1, most, body_bytes + 1, 0]
                calls = [("POST", f"/own/{size}") for size in sizes]
                responses = await client.call_many(calls)
                assert [one.status for one in responses] == [200, 500, 200, 500, 200]
                sent = await client.call_many(
                    [("POST", "/own/1", {"body": bytes(size)}) for size in (most, body_bytes + 1)]
                )
                assert [one.status for one in sent] == [200, 413]
                # A batch with the maximum number of items, each as large as a small one may be.
                many: list[Any] = [
                    ("POST", f"/own/{min(most, 32 * 1024)}", {"body": bytes(1000)})
                ] * 40
                assert {one.status for one in await client.call_many(many)} == {200}
        assert server.broker.counters.redispatched == 0


async def test_the_headers_of_many_calls_and_responses_in_one_batch(plugin, open_server) -> None:
    own = trizmq.Router()
    fields = {f"a{n}": "x" * 4000 for n in range(4)}

    @own.get("/own")
    async def answer(request: trizmq.Request) -> trizmq.Response:
        assert request.headers["a3"]
        return trizmq.Response(200, trizmq.Headers(fields), body=bytes(1000))

    async with open_server(body_bytes=1024) as server:
        start = partial(work, connect=server.backend, plugins=[plugin(own)], capacity=64)
        start = partial(start, limits={"body_bytes": 1024})
        async with running(start), trizmq.open_client(server.endpoint) as client:
            with trio.fail_after(20):
                responses = await client.call_many([("GET", "/own", {"headers": fields})] * 64)
            assert [one.status for one in responses] == [200] * 64


async def test_a_client_with_lower_limits_is_not_sent_more(plugin, tmp_path, caplog) -> None:
    own = trizmq.Router()

    @own.get("/own/{size:int}")
    async def answer(size: int) -> bytes:
        return bytes(size)

    transport = MemoryTransport()
    app = App(load([plugin(own)]), state_dir=tmp_path)
    server = Server(transport, app, Settings(bind="front"))
    async with running(server.run):
        dealer = transport.connect("front")
        calls = [Call(n, 5000, "GET", f"/own/{size}", {}, b"") for n, size in enumerate((9, 2000))]
        hello = Hello(1, "me", takes=Takes(body_bytes=1024, message_bytes=0))
        dealer.send_nowait(native.encode([hello, *calls]))
        statuses: dict[int, int] = {}
        with trio.fail_after(5):
            while len(statuses) < 2:
                while (frames := dealer.receive_nowait()) is None:
                    await dealer.wait_readable()
                assert sum(map(len, frames)) <= 32 * 1024
                for item in native.decode(frames):
                    if isinstance(item, Response):
                        statuses[item.id] = item.status
        assert statuses == {0: 200, 1: 500}
    assert "GET /own/{size:int}: the response has 2000 bytes" in caplog.text


async def test_a_worker_with_lower_limits_is_not_sent_more(tmp_path) -> None:
    transport = MemoryTransport()
    app = App(load([]), state_dir=tmp_path)
    server = Server(transport, app, Settings(bind="front", backend="back", capacity=0))
    async with running(server.run), open_client_on(transport, "front") as client:
        worker = transport.connect("back")
        takes = Takes(body_bytes=5000, header_bytes=1500)
        worker.send_nowait(native.encode([Hello(1, "w", 9, ("own",), takes=takes)]))
        with trio.fail_after(5):
            too_large = [
                await client.post("/own", body=bytes(5001)),
                await client.post("/own", headers={"a": "x" * 1600}),
            ]
        assert [one.status for one in too_large] == [413, 431]
        assert {one.json()["executed"] for one in too_large} == {"no"}
        given = [item for frames in worker.inbox for item in native.decode(frames)]
        assert not any(isinstance(item, Call) for item in given)
        assert server.broker.in_flight == 0


async def test_a_response_of_the_broker_itself_is_not_larger_than_the_clients_limit(
    open_server, connect, caplog
) -> None:
    async with open_server() as server, trizmq.open_client(server.endpoint) as other:
        names = tuple(f"service-{number}" for number in range(100))
        worker = connect(server.backend)
        worker.send(*native.encode([Hello(1, "w", 9, names)]))
        client = connect(server.endpoint)
        client.send(*native.encode([Hello(1, "me", takes=Takes(body_bytes=1024))]))
        with trio.fail_after(10):
            while len((await other.get("/mmi/services")).json()) < len(names):
                await trio.sleep(0.01)
            client.send(*native.encode([Call(1, 5000, "GET", "/mmi/services", {}, b"")]))
            responses: list[Response] = []
            while not responses:
                items = native.decode(await client.receive())
                responses += [one for one in items if isinstance(one, Response)]
        assert responses[0].status == 500
        assert isinstance(responses[0].body, bytes)
        assert len(responses[0].body) <= 1024
    assert "GET /mmi/services: the response has" in caplog.text


@pytest.mark.parametrize("over", [1, 100_000, 15 * MIB])
async def test_a_req_socket_over_the_limit_gets_a_413(serving, connect, over) -> None:
    async with serving(routes) as endpoint:
        req = connect(endpoint, zmq.REQ)
        body = b'"' + b"x" * (16 * MIB + over - 2) + b'"'
        req.send(b'{"path":"/large/just","method":"POST","body":' + body + b"}")
        (reply,) = await req.receive(10)
        assert json.loads(reply)["status"] == 413
        req.send(b'{"path":"/large/just","method":"POST"}', body)
        (reply,) = await req.receive(10)
        assert json.loads(reply)["status"] == 413


async def test_a_reply_of_many_frames_that_are_too_large_together(open_server, connect) -> None:
    async with (
        open_server(body_bytes=100_000) as server,
        trizmq.open_client(server.endpoint) as client,
    ):
        worker = connect(server.backend)
        worker.send(b"MDPW02", b"\x01", b"many")
        responses: list[trizmq.Response] = []

        async def call() -> None:
            responses.append(await client.get("/many"))

        for frames in ([bytes(5000)] * 21, [bytes(5000)] * 20):
            with trio.fail_after(5):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(call)
                    _, _, address, *_ = await worker.receive_other([b"MDPW02", b"\x05"])
                    worker.send(b"MDPW02", b"\x04", address, b"", *frames)
        assert [one.status for one in responses] == [500, 200]
        assert len(responses[1].body) == 100_000


def test_limits_of_senders_are_below_the_limit_of_libzmq() -> None:
    for body_bytes in (1024, 10**6, 2**30):
        for headers in (1024, 32 * 1024):
            limits = limits_of({"body_bytes": body_bytes, "headers_bytes": headers})
            assert limits.takes.message_bytes < limits.frame_bytes
            assert limits.takes.body_bytes + 2 * headers < limits.takes.message_bytes
    assert limits_of({}).takes == Takes()


async def test_the_limit_on_frames_of_a_body_is_a_setting(open_server, connect) -> None:
    async with open_server(routes, request_frames=3, reply_frames=2) as server:
        client = connect(server.endpoint)
        for frames, told in (([b""] * 4, b"400"), ([b"x"] * 3, b"200")):
            client.send(b"", b'{"path": "/large/fields", "method": "POST"}', *frames)
            _, reply = await client.receive()
            assert b'"status":' + told in reply.replace(b"500", b"200")  # it has too many headers
        worker = connect(server.backend)
        worker.send(b"MDPW02", b"\x01", b"many")
        for count, told in ((2, b"x"), (3, b"502")):
            client.send(b"MDPC02", b"\x01", b"many", b"")
            _, _, address, *_ = await worker.receive_other([b"MDPW02", b"\x05"])
            worker.send(b"MDPW02", b"\x04", address, b"", *[b"x"] * count)
            assert told in (await client.receive())[-1]
