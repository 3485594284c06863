"""A call in another dialect: the request and the parsed reply, frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from trizmq.client.foreign import FOREIGN_DIALECTS, call_foreign
from trizmq.errors import ConfigError, DeadlineExceeded, RemoteProtocolError
from trizmq.messages import Headers, Response, problem
from trizmq.transport.memory import MemoryTransport
from trizmq.wire.items import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

CALL = Call(0, 1000, "POST", "/echo", {}, b"body")
NOT_FOUND = problem(404, "no such thing").body


async def replied(dialect: str, *replies: list[bytes], call: Call = CALL) -> tuple:
    """Make a call to a broker that sends ``replies``; return its request, and the result."""
    transport = MemoryTransport()
    broker = transport.bind("memory://broker")
    asked: list[Sequence[bytes]] = []

    async def answer() -> None:
        while (message := broker.receive_nowait()) is None:
            await broker.wait_readable()
        asked.append(message[1])
        for reply in replies:
            broker.send_nowait(message[0], reply)
        broker.settle()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        deadline = trio.current_time() + 1
        response = await call_foreign(transport, "memory://broker", dialect, call, deadline)
    await transport.aclose()
    return asked[0], response


@pytest.mark.parametrize(
    ("dialect", "asked", "reply"),
    [
        ("mdp01", [b"", b"MDPC01", b"echo", b"body"], [b"", b"MDPC01", b"echo", b"back"]),
        ("mdp02", [b"MDPC02", b"\1", b"echo", b"body"], [b"MDPC02", b"\3", b"echo", b"back"]),
        ("majortomo", [b"", b"MDPC02", b"\2", b"echo", b"body"], [b"", b"MDPC02", b"\4", b"back"]),
    ],
)
async def test_a_plain_post_uses_the_bare_service_name(
    dialect: str, asked: list[bytes], reply: list[bytes]
) -> None:
    assert await replied(dialect, reply) == (asked, Response(200, body=b"back"))


async def test_any_other_call_uses_a_request_line() -> None:
    call = Call(0, 1000, "GET", "/users/1?full=1", {"x-tenant": "blue"}, b"")
    asked, _ = await replied("mdp01", [b"", b"MDPC01", b"s", b""], call=call)
    assert asked[2] == b"GET /users/1?full=1\nx-tenant: blue"


async def test_plain_has_status_and_headers() -> None:
    reply = [b"", b'{"status": 201, "headers": {"x-a": "1"}}', b"raw"]
    _, response = await replied("plain", reply)
    assert response == Response(201, Headers({"x-a": "1"}), b"raw")


async def test_parts_are_gathered() -> None:
    def reply(code: bytes, *body: bytes) -> list[bytes]:
        return [b"MDPC02", code, b"echo", *body]

    replies = [reply(b"\2", b"a", b"b"), reply(b"\2", b"c"), reply(b"\3", b"d")]
    _, response = await replied("mdp02", *replies)
    assert response.body == b"abcd"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (NOT_FOUND, 404),
        (b'{"type": "about:blank", "title": "OK", "status": 200}', 200),
        (b'{"status": 404}', 200),
        (b'{"type": 1, "title": 2, "status": 404}', 200),
        (b"[" * 100_000, 200),
        (b"\xff", 200),
        (b"", 200),
    ],
)
async def test_a_problem_document_sets_the_status_and_any_other_reply_is_a_200(
    body: bytes, status: int
) -> None:
    _, response = await replied("mdp01", [b"", b"MDPC01", b"echo", body])
    assert (response.status, response.body) == (status, body)


@pytest.mark.parametrize("dialect", FOREIGN_DIALECTS)
async def test_a_reply_that_is_not_in_the_dialect_is_an_error(dialect: str) -> None:
    with pytest.RaisesGroup(RemoteProtocolError):
        await replied(dialect, [b"HTTP/1.1 400"])


@pytest.mark.parametrize("dialect", FOREIGN_DIALECTS)
async def test_without_a_reply_the_deadline_ends_the_call(
    dialect: str, autojump_clock: object
) -> None:
    began = trio.current_time()
    with pytest.RaisesGroup(DeadlineExceeded):
        await replied(dialect)
    assert trio.current_time() == began + 1


async def test_only_one_endpoint_is_allowed() -> None:
    with pytest.raises(ConfigError, match="one endpoint"):
        await call_foreign(MemoryTransport(), "memory://a,memory://b", "mdp01", CALL, 1.0)
