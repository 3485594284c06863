"""Streams whose reader, worker or broker dies, as real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.slow


async def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    with trio.fail_after(20):
        return await trio.to_thread.run_sync(process.stdout.readline)


async def test_a_generator_is_closed_when_its_reader_is_killed(serving: Any, start: Any) -> None:
    routes, closed = trizmq.Router("/ticks"), trio.Event()

    @routes.get("/endless")
    async def ticks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
        finally:
            closed.set()

    async with serving(routes) as endpoint:
        client = start("client_with_stream", endpoint, "/ticks/endless")
        await first_line(client)
        await trio.sleep(0.5)
        assert not closed.is_set()
        client.kill()
        with trio.fail_after(4 * 5):
            await closed.wait()


async def test_a_reader_gets_an_error_when_the_worker_is_killed(
    open_server: Any, start: Any
) -> None:
    async with open_server() as server, trizmq.open_client(server.endpoint) as client:
        worker = start("worker_with_stream", server.backend)
        await first_line(worker)
        parts = []

        async def read() -> None:
            async with client.stream("GET", "/ticks/endless") as response:
                async for part in response:
                    parts.append(part)
                    if len(parts) == 10:
                        worker.kill()

        with trio.fail_after(1 * 5), pytest.raises(trizmq.ResponseError, match="lost"):
            await read()
        assert parts == [b"%d\n" % number for number in range(len(parts))]


async def test_a_reader_gets_an_error_when_the_broker_is_killed(start: Any, tmp_path: Any) -> None:
    front, back = f"ipc://{tmp_path}/front", f"ipc://{tmp_path}/back"
    broker = start("broker_process", front, back)
    await first_line(broker)
    await first_line(start("worker_with_stream", back))
    async with trizmq.open_client(front) as client:

        async def read() -> None:
            async with client.stream("GET", "/ticks/endless") as response:
                await anext(response)
                broker.kill()
                async for _ in response:
                    pass

        with trio.fail_after(1 * 5), pytest.raises(trizmq.Unreachable, match="during the stream"):
            await read()
