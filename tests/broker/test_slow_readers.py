"""A client that does not read its responses: its calls end, and no other client notices."""

from __future__ import annotations

import pytest
import trio
import zmq

import trizmq
from trizmq.wire import native
from trizmq.wire.items import VERSION, Call, Hello, Part, Response

MIB = 1024 * 1024
routes = trizmq.Router()


@routes.get("/large")
async def large() -> bytes:
    return bytes(MIB)


@routes.get("/small")
async def small() -> str:
    return "small"


@routes.get("/parts/{count:int}/{size:int}")
async def parts(request: trizmq.Request, count: int, size: int) -> trizmq.Response:
    later = request.reply_later()
    for _ in range(count):
        later.acknowledge(bytes(size))
        await trio.lowlevel.checkpoint()
    later.respond(b"the end")
    return None  # type: ignore[return-value]


@pytest.fixture
def hoarder():
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.rcvhwm = 1
        yield socket


def ask(path: str, number: int) -> list[bytes]:
    return native.encode([Call(number, 60_000, "GET", path, {}, b"")])


async def until(is_so) -> None:
    with trio.fail_after(20):
        while not is_so():
            await trio.sleep(0.01)


@pytest.mark.slow
async def test_calls_of_a_slow_reader_end_and_new_ones_are_refused(open_server, hoarder) -> None:
    async with open_server(routes, client_bytes=16 * MIB) as server:
        hoarder.connect(server.endpoint)
        hoarder.send_multipart(native.encode([Hello(VERSION, "hoarder")]))
        counters = server.broker.counters
        for number in range(1, 101):
            hoarder.send_multipart(ask("/large", number))
            if number == 50:
                await until(lambda: counters.calls == 50 and not server.broker.in_flight)
                await trio.sleep(1.1)
        await until(lambda: counters.calls == 100 and not server.broker.in_flight)
        assert counters.slow + counters.lost + counters.refused > 40
        async with trizmq.open_client(server.endpoint) as client:
            with trio.fail_after(5):
                assert (await client.get("/large")).status == 200
        answered = counters.answered
        hoarder.send_multipart(ask("/small", 200))
        await until(lambda: counters.calls == 102)
        assert counters.answered == answered  # not before it reads

        # When it does read, each of its calls has ended, once.
        outcomes: dict[int, int] = {}

        def read() -> None:
            for frames in iter(hoarder.recv_multipart, []):
                for item in native.decode(frames):
                    if isinstance(item, Response):
                        assert item.id not in outcomes
                        outcomes[item.id] = item.status
                if len(outcomes) == 101:
                    return

        with trio.fail_after(20):
            await trio.to_thread.run_sync(read, abandon_on_cancel=True)
        assert outcomes.pop(200) == 429
        assert set(outcomes.values()) <= {200, 429, 502}
        hoarder.send_multipart(ask("/small", 300))
        await until(lambda: counters.answered == answered + 1)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "size"), [(4000, 4_000), (60, MIB // 4)])
async def test_a_response_in_parts_arrives_whole_or_ends_with_an_error(
    open_server, hoarder, count, size
) -> None:
    async with open_server(routes, client_bytes=4 * MIB) as server:
        hoarder.connect(server.endpoint)
        hoarder.send_multipart(native.encode([Hello(VERSION, "hoarder")]))
        hoarder.send_multipart(ask(f"/parts/{count}/{size}", 1))
        counters = server.broker.counters
        await until(lambda: counters.calls and not server.broker.in_flight)

        def read() -> tuple[int, Response]:
            seen = 0
            while True:
                for item in native.decode(hoarder.recv_multipart()):
                    seen += isinstance(item, Part)
                    if isinstance(item, Response):
                        return seen, item

        with trio.fail_after(20):
            seen, response = await trio.to_thread.run_sync(read, abandon_on_cancel=True)
        assert response.status == 502 or (response.status == 200 and seen == response.parts)
