"""Streamed responses for threads."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio

import trizmq

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Run = Callable[..., Any]


@pytest.fixture
def closed() -> threading.Event:
    return threading.Event()


@pytest.fixture
def run(serving: Any, closed: threading.Event) -> Run:
    """Call a function in a thread with a `SyncClient` of a server."""
    routes = trizmq.Router("/s")

    @routes.get("/count/{n:int}")
    async def count(n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    @routes.get("/endless")
    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(10_000)
        finally:
            closed.set()

    @routes.get("/silent")
    async def silent() -> AsyncIterator[bytes]:
        yield b"first"
        await trio.sleep_forever()

    @routes.get("/late")
    async def late() -> AsyncIterator[bytes]:
        yield b"a"
        raise trizmq.HTTPError(409, "later")

    @routes.get("/never")
    async def never() -> AsyncIterator[bytes]:
        await trio.sleep_forever()
        yield b""

    def in_thread(endpoint: str, function: Any, options: Any) -> Any:
        with trizmq.SyncClient(endpoint, **options) as client:
            return function(client)

    async def call(function: Any, **options: Any) -> Any:
        async with serving(routes) as endpoint:
            return await trio.to_thread.run_sync(partial(in_thread, endpoint, function, options))

    return call


async def test_parts_are_read_in_order(run: Run) -> None:
    def read(client: trizmq.SyncClient) -> Any:
        with client.stream("GET", "/s/count/10000") as response:
            assert response.raise_for_status() is response
            assert (response.status, response.is_error) == (200, False)
            assert response.content_type == "application/x-ndjson"
            return list(response.items(int)), list(response)

    assert await run(read) == (list(range(10_000)), [])


async def test_the_handler_waits_for_a_reader_that_is_slow(
    run: Run, closed: threading.Event
) -> None:
    def read(client: trizmq.SyncClient) -> int:
        with client.stream("GET", "/s/endless", window=50_000) as response:
            parts = [next(response) for _ in range(100)]
            assert client.get("/s/count/2").body == b"0\n1\n"
        assert closed.wait(5)
        return sum(map(len, parts))

    assert await run(read) == 1_000_000


async def test_an_error_comes_after_the_parts(run: Run) -> None:
    def read(client: trizmq.SyncClient) -> list[bytes]:
        with client.stream("GET", "/s/late") as response:
            parts = [next(response)]
            with pytest.raises(trizmq.ResponseError, match="409 Conflict: later"):
                next(response)
        return parts

    assert await run(read) == [b"a"]


async def test_an_ordinary_error_is_a_response(run: Run) -> None:
    def read(client: trizmq.SyncClient) -> Any:
        with client.stream("GET", "/s/nothing") as response:
            with pytest.raises(trizmq.ResponseError, match="404"):
                response.raise_for_status()
            return response.status, len(list(response))

    assert await run(read) == (404, 1)


@pytest.mark.parametrize("target", ["/s/never", "/s/silent"])
async def test_each_wait_is_bounded_by_the_timeout(run: Run, target: str) -> None:
    def read(client: trizmq.SyncClient) -> None:
        with client.stream("GET", target, timeout=0.2) as response:
            assert list(response)

    with pytest.raises(trizmq.DeadlineExceeded, match=r"within 0\.2 s"):
        await run(read)


async def test_a_stream_ends_with_its_client(run: Run) -> None:
    def read(client: trizmq.SyncClient) -> Any:
        stream = client.stream("GET", "/s/silent")
        response = stream.__enter__()
        assert next(response) == b"first"
        client.__exit__(None, None, None)
        with pytest.raises(trizmq.Unreachable):
            next(response)
        stream.__exit__(None, None, None)
        with pytest.raises(RuntimeError, match="inside its with block"):
            client.stream("GET", "/s/silent")

    await run(read)


async def test_invalid_arguments_are_refused(run: Run) -> None:
    def read(client: trizmq.SyncClient) -> None:
        with pytest.raises(trizmq.LocalProtocolError, match="window"):
            client.stream("GET", "/s/silent", window=0)
        with pytest.raises(TypeError, match="a call has no params="):
            client.stream("GET", "/s/silent", params={})  # type: ignore[call-arg]
        with client.stream("GET", "/s/count/1") as response, pytest.raises(msgspec.ValidationError):
            next(response.items(str))

    await run(read)
