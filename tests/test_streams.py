"""Streamed responses from a handler to the client's block: in memory, and over real sockets."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.broker.engine import Broker
from trizmq.broker.loop import BrokerLoop
from trizmq.processes.local_client import open_local_client
from trizmq.settings import Settings
from trizmq.testing import open_app
from trizmq.transport.zeromq import ZmqTransport
from trizmq.worker.loop import WorkerLoop
from trizmq.worker.runner import LocalWorker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    Streaming = Callable[..., AbstractAsyncContextManager[trizmq.Client]]

TEN_THOUSAND = bytes(10_000)


class Log:
    """What happened in the handlers of one test."""

    def __init__(self) -> None:
        self.sent = 0
        self.ends: list[str] = []


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def routes(log: Log) -> trizmq.Router:
    routes = trizmq.Router("/s")

    @routes.get("/count/{n:int}")
    async def count(n: int) -> AsyncIterator[bytes]:
        for number in range(n):
            yield b"%d" % number

    @routes.get("/items")
    async def items() -> AsyncIterator[dict[str, int]]:
        for number in range(3):
            yield {"number": number}
            await trio.lowlevel.checkpoint()

    @routes.get("/endless")
    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                log.sent += 1
                yield TEN_THOUSAND
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            log.ends.append("closed")

    @routes.get("/silent")
    async def silent() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await trio.sleep_forever()
        finally:
            log.ends.append("closed")

    @routes.get("/late")
    async def late() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"
        raise trizmq.HTTPError(409, "later")

    return routes


@pytest.fixture(params=["memory", "sockets", "broker and worker", "one process"])
def streaming(
    request: Any, plugin: Any, routes: trizmq.Router, serving: Any, open_server: Any, tmp_path: Any
) -> Streaming:
    """Serve the routes, and yield a client."""

    @asynccontextmanager
    async def in_memory(**options: Any) -> AsyncIterator[trizmq.Client]:
        async with open_app([plugin(routes)], **options) as client:
            yield client

    @asynccontextmanager
    async def on_sockets(**options: Any) -> AsyncIterator[trizmq.Client]:
        async with (
            serving(plugin(routes), **options) as endpoint,
            trizmq.open_client(endpoint) as client,
        ):
            yield client

    @asynccontextmanager
    async def through_a_worker(capacity: int = 256) -> AsyncIterator[trizmq.Client]:
        app = App(load([plugin(routes)]), state_dir=tmp_path)
        async with open_server() as server, ZmqTransport(max_frame=2**25) as transport:
            settings = Settings(capacity=capacity)
            worker = WorkerLoop(transport, app, settings, connect=[server.backend], name="w")
            async with running(worker.run), trizmq.open_client(server.endpoint) as client:
                yield client

    @asynccontextmanager
    async def in_one_process(capacity: int = 256) -> AsyncIterator[trizmq.Client]:
        app = App(load([plugin(routes)]), state_dir=tmp_path)
        broker = Broker(instance="local")
        loop = BrokerLoop(broker)
        loop.local = LocalWorker(app, loop, capacity=capacity, access_log=False)
        broker.add_worker(sorted(app.services), capacity)
        async with running(loop.run):
            with open_local_client(loop, "local") as client:
                yield client

    ways: dict[str, Streaming] = {
        "memory": in_memory,
        "sockets": on_sockets,
        "broker and worker": through_a_worker,
        "one process": in_one_process,
    }
    return ways[request.param]


async def read_into(parts: list[bytes], client: trizmq.Client, target: str) -> None:
    async with client.stream("GET", target) as response:
        async for part in response:
            parts.append(part)


async def read(client: trizmq.Client, target: str, **details: Any) -> list[bytes]:
    async with client.stream("GET", target, **details) as response:
        return [part async for part in response]


async def test_every_yield_is_a_part(streaming: Streaming) -> None:
    async with streaming() as client, client.stream("GET", "/s/count/1000") as response:
        assert response.status == 200
        assert response.headers == {"content-type": "application/octet-stream"}
        assert [part async for part in response] == [b"%d" % n for n in range(1000)]


async def test_values_are_lines_of_json_that_can_be_validated(streaming: Streaming) -> None:
    class Item(msgspec.Struct):
        number: int

    async with streaming() as client:
        async with client.stream("GET", "/s/items") as response:
            assert response.headers == {"content-type": "application/x-ndjson"}
            assert [item async for item in response.items(Item)] == [Item(0), Item(1), Item(2)]
        with pytest.raises(msgspec.ValidationError):
            async with client.stream("GET", "/s/items") as response:
                await anext(response.items(list))


async def test_an_ordinary_call_gathers_the_parts(streaming: Streaming) -> None:
    async with streaming() as client:
        assert (await client.get("/s/count/5")).body == b"01234"
        gathered = await client.get("/s/items")
        assert gathered.body == b'{"number":0}\n{"number":1}\n{"number":2}\n'
        assert gathered.content_type == "application/x-ndjson"
        assert (await client.head("/s/endless")).body == b""


async def test_gathered_parts_are_limited_like_a_body(streaming: Streaming, log: Log) -> None:
    async with streaming() as client:
        response = await client.get("/s/endless")
        assert response.status == 500
    assert log.ends == ["closed"]


async def test_the_handler_waits_when_the_window_is_used_up(streaming: Streaming, log: Log) -> None:
    async with streaming() as client:
        async with client.stream("GET", "/s/endless", window=100_000) as response:
            while log.sent < 10:
                await trio.sleep(0.001)
            await trio.sleep(0.1)
            # 9 parts of 10,128 bytes are within the window, the 10th exceeds it, and one waits.
            assert log.sent == 11
            for _ in range(200):
                assert await anext(response) == TEN_THOUSAND
            assert 200 <= log.sent <= 211
        with trio.fail_after(5):
            while not log.ends:
                await trio.sleep(0.001)
    assert log.ends == ["closed"]


async def test_a_part_that_is_larger_than_the_window_passes(streaming: Streaming) -> None:
    async with streaming() as client, client.stream("GET", "/s/endless", window=1) as response:
        for _ in range(5):
            assert await anext(response) == TEN_THOUSAND


async def test_leaving_the_block_closes_the_generator(streaming: Streaming, log: Log) -> None:
    async with streaming() as client:
        async with client.stream("GET", "/s/silent") as response:
            assert await anext(response) == b"first"
        with trio.fail_after(5):
            while not log.ends:
                await trio.sleep(0.001)
        assert (await client.get("/s/count/1")).body == b"0"


async def test_cancellation_closes_the_generator(streaming: Streaming, log: Log) -> None:
    async with streaming() as client:
        with trio.move_on_after(0.05):
            await read(client, "/s/silent")
        with trio.fail_after(5):
            while not log.ends:
                await trio.sleep(0.001)


async def test_an_error_before_the_first_part_is_an_ordinary_response(
    streaming: Streaming, routes: trizmq.Router
) -> None:
    @routes.get("/early")
    async def early() -> AsyncIterator[bytes]:
        raise trizmq.HTTPError(409, "early")
        yield b""

    async with streaming() as client:
        assert (await client.get("/s/early")).status == 409
        async with client.stream("GET", "/s/early") as response:
            assert response.status == 409
            with pytest.raises(trizmq.ResponseError, match="409 Conflict: early"):
                response.raise_for_status()
            (problem,) = [part async for part in response]
            assert b'"detail":"early"' in problem


async def test_a_later_error_comes_after_the_parts(streaming: Streaming) -> None:
    async with streaming() as client:
        parts: list[bytes] = []
        with pytest.raises(trizmq.ResponseError, match="409 Conflict: later") as caught:
            await read_into(parts, client, "/s/late")
        assert parts == [b"a", b"b"]
        assert caught.value.response.status == 409
        assert (await client.get("/s/late")).status == 409


async def test_a_response_chooses_status_and_headers_and_its_head_leaves_at_once(
    streaming: Streaming, routes: trizmq.Router
) -> None:
    @routes.get("/chosen")
    async def chosen() -> trizmq.Response:
        async def parts() -> AsyncIterator[bytes]:
            await trio.sleep_forever()
            yield b""

        return trizmq.Response(202, headers=trizmq.Headers({"x-a": "b"}), stream=parts())

    async with streaming() as client, client.stream("GET", "/s/chosen") as response:
        assert (response.status, response.headers) == (202, {"x-a": "b"})


async def test_a_handler_may_return_an_async_iterator(
    streaming: Streaming, routes: trizmq.Router
) -> None:
    class Numbers:
        def __init__(self) -> None:
            self.last = 0

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> int:
            if self.last == 3:
                raise StopAsyncIteration
            self.last += 1
            return self.last

    @routes.get("/numbers")
    async def numbers() -> Numbers:
        return Numbers()

    async with streaming() as client:
        assert await read(client, "/s/numbers") == [b"1\n", b"2\n", b"3\n"]


async def test_a_plain_generator_runs_in_threads(
    streaming: Streaming, routes: trizmq.Router, log: Log
) -> None:
    names = set()

    @routes.get("/plain")
    def plain() -> Iterator[int]:
        try:
            for number in range(100):
                names.add(threading.current_thread() is threading.main_thread())
                yield number
            raise trizmq.HTTPError(409, "later")
        finally:
            log.ends.append("closed")

    async with streaming() as client:
        parts: list[bytes] = []
        with pytest.raises(trizmq.ResponseError):
            await read_into(parts, client, "/s/plain")
        assert parts == [b"%d\n" % number for number in range(100)]
        async with client.stream("GET", "/s/plain") as response:
            assert await anext(response) == b"0\n"
        with trio.fail_after(5):
            while len(log.ends) < 2:
                await trio.sleep(0.001)
    assert names == {False}


async def test_other_calls_go_on_beside_streams(streaming: Streaming, log: Log) -> None:
    async with streaming(capacity=150) as client, trio.open_nursery() as nursery:

        async def open_and_stop() -> None:
            async with client.stream("GET", "/s/endless", window=20_000):
                await trio.sleep_forever()

        for _ in range(100):
            nursery.start_soon(open_and_stop)
        with trio.fail_after(10):
            for _ in range(100):
                assert (await client.get("/s/count/1")).body == b"0"
        nursery.cancel_scope.cancel()
    assert len(log.ends) <= 100


async def test_two_tasks_cannot_read_one_stream(streaming: Streaming) -> None:
    async with streaming() as client, client.stream("GET", "/s/silent") as response:
        assert await anext(response) == b"first"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(anext, response)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await anext(response)
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("streaming", ["memory"], indirect=True)
async def test_a_cancelled_iteration_loses_no_part(streaming: Streaming) -> None:
    async with streaming() as client, client.stream("GET", "/s/count/500") as response:
        parts: list[bytes] = []
        cancelled = 0
        while len(parts) < 500:
            with trio.CancelScope() as scope:
                if len(parts) % 2 == 0 and cancelled <= len(parts):
                    scope.cancel()
                parts.append(await anext(response))
            cancelled += scope.cancelled_caught
        assert parts == [b"%d" % number for number in range(500)]
        assert cancelled >= 250
        with pytest.raises(StopAsyncIteration):
            await anext(response)


async def test_a_stream_is_called_once(streaming: Streaming) -> None:
    async with streaming() as client:
        call = client.stream("GET", "/s/items")
        async with call:
            pass
        with pytest.raises(RuntimeError, match="already made"):
            async with call:
                pass


@pytest.mark.parametrize("streaming", ["sockets"], indirect=True)
async def test_the_head_must_arrive_in_time(streaming: Streaming, routes: trizmq.Router) -> None:
    @routes.get("/never")
    async def never() -> AsyncIterator[bytes]:
        await trio.sleep_forever()
        yield b""

    async with streaming() as client:
        with pytest.raises(trizmq.DeadlineExceeded):
            await read(client, "/s/never", head_seconds=0.1)


async def test_a_window_is_at_least_one_byte(streaming: Streaming) -> None:
    async with streaming() as client:
        with pytest.raises(trizmq.LocalProtocolError, match="window"):
            client.stream("GET", "/s/items", window=0)


@pytest.mark.parametrize(
    "response",
    [
        lambda: trizmq.Response(200, body=b"x", stream=Log()),
        lambda: trizmq.Response(200, stream=[b"a"]),
    ],
)
async def test_a_response_with_an_invalid_stream_is_a_500(
    streaming: Streaming, routes: trizmq.Router, response: Any
) -> None:
    @routes.get("/wrong")
    async def wrong() -> trizmq.Response:
        return response()

    async with streaming() as client:
        assert (await client.get("/s/wrong")).status == 500
