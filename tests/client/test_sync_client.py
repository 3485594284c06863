"""The client for threads: one connection for all, and errors in the calling thread."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import trio

import trizmq

MIB = 1024 * 1024

routes = trizmq.Router()


@routes.get("/test/echo/{n:int}")
async def echo(n: int) -> int:
    return n


@routes.get("/test/large")
async def large() -> bytes:
    return bytes(MIB)


@routes.get("/test/forever")
async def forever() -> None:
    await trio.sleep_forever()


def in_thread(function, *args):
    return trio.to_thread.run_sync(partial(function, *args))


async def test_sixteen_threads_share_a_connection(serving) -> None:
    def use(endpoint: str) -> list[int]:
        with trizmq.SyncClient(endpoint) as client, ThreadPoolExecutor(16) as pool:
            paths = [f"/test/echo/{n}" for n in range(400)]
            return [response.json() for response in pool.map(client.get, paths)]

    async with serving(routes) as endpoint:
        assert await in_thread(use, endpoint) == list(range(400))


async def test_responses_are_released(serving) -> None:
    """The record of a call outlives it, in the heap of deadlines; its response must not."""

    def use(endpoint: str) -> int:
        with trizmq.SyncClient(endpoint) as client:
            for _ in range(40):
                assert len(client.get("/test/large").body) == MIB
            return tracemalloc.get_traced_memory()[0]

    async with serving(routes) as endpoint:
        tracemalloc.start()
        try:
            assert await in_thread(use, endpoint) < 10 * MIB
        finally:
            tracemalloc.stop()


async def test_the_timeout_is_an_error_in_the_calling_thread(serving) -> None:
    def use(endpoint: str) -> None:
        with trizmq.SyncClient(endpoint) as client:
            assert client.get("/test/echo/1").json() == 1
            with pytest.raises(trizmq.DeadlineExceeded) as info:
                client.get("/test/forever", timeout=0.2)
            assert info.value.executed == "maybe"
            with pytest.raises(trizmq.LocalProtocolError):
                client.get("no/slash")

    async with serving(routes) as endpoint:
        await in_thread(use, endpoint)


async def test_leaving_the_block_ends_the_calls_of_other_threads(serving) -> None:
    def use(endpoint: str) -> None:
        with ThreadPoolExecutor(1) as pool:
            with trizmq.SyncClient(endpoint) as client:
                client.get("/test/echo/1")
                left = pool.submit(client.get, "/test/forever")
                client.get("/test/echo/1")
            with pytest.raises(trizmq.Unreachable):
                left.result(2)
            with pytest.raises(RuntimeError):
                client.get("/test/echo/1")
            with client:  # a second time
                assert client.get("/test/echo/2").json() == 2

    async with serving(routes) as endpoint:
        await in_thread(use, endpoint)


def test_a_bad_endpoint_is_an_error_immediately() -> None:
    with pytest.raises(trizmq.ConfigError, match="nonsense"), trizmq.SyncClient("nonsense"):
        pass
