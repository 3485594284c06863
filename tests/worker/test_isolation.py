"""A call affects only itself: exceptions, context, careless handlers."""

from __future__ import annotations

from contextvars import ContextVar

import pytest
import trio

import trizmq
from trizmq.testing import open_app

LEFT_BEHIND: ContextVar[str] = ContextVar("LEFT_BEHIND", default="clean")


class Rude(BaseException):
    pass


def explode(what: str) -> None:
    kinds = {
        "exception": ValueError("secret"),
        "group": ExceptionGroup("g", [ValueError("secret"), KeyError("secret")]),
        "base": Rude("secret"),
        "exit": SystemExit(3),
        "generator": GeneratorExit(),
        "base_group": BaseExceptionGroup("g", [Rude("secret"), ValueError("secret")]),
    }
    raise kinds[what]


routes = trizmq.Router()


@routes.get("/rude/async/{what}")
async def rude_async(what: str) -> None:
    explode(what)


@routes.get("/rude/later/{what}")
async def rude_later(what: str) -> None:
    await trio.lowlevel.checkpoint()
    explode(what)


@routes.get("/rude/inline/{what}", inline=True)
def rude_inline(what: str) -> None:
    explode(what)


@routes.get("/rude/thread/{what}")
def rude_thread(what: str) -> None:
    explode(what)


@routes.get("/rude/nursery/{what}")
async def rude_nursery(what: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(rude_later, what)


@routes.get("/rude/context/{value}")
async def context(value: str, wait: bool = False) -> str:
    seen = LEFT_BEHIND.get()
    if wait:
        await trio.lowlevel.checkpoint()
    LEFT_BEHIND.set(value)
    return seen


WHATS = ["exception", "group", "base", "exit", "generator", "base_group"]


@pytest.mark.parametrize("how", ["async", "later", "inline", "thread", "nursery"])
@pytest.mark.parametrize("what", WHATS)
async def test_an_exception_in_a_handler_is_a_500_for_that_call_only(
    plugin, how, what, caplog
) -> None:
    async with open_app([plugin(routes)]) as client:
        response = await client.get(f"/rude/{how}/{what}")
        assert response.status == 500
        assert b"secret" not in response.body
        assert response.json()["request_id"]
        assert response.json()["executed"] == "maybe"
        assert (await client.get("/rude/context/x")).status == 200
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("wait", ["0", "1"])
async def test_no_call_sees_the_context_of_another(plugin, wait) -> None:
    async with open_app([plugin(routes)]) as client:
        calls = [("GET", f"/rude/context/{n}?wait={wait}") for n in range(300)]
        seen = [response.json() for response in await client.call_many(calls)]
    assert seen == ["clean"] * 300


async def test_calls_go_on_when_half_of_them_fail(plugin) -> None:
    paths = ["/rude/async/base", "/rude/context/x", "/rude/nursery/exit", "/rude/later/group"]
    async with open_app([plugin(routes)], capacity=3) as client:
        responses = await client.call_many([("GET", path) for path in paths * 50])
    assert [response.status for response in responses] == [500, 200, 500, 500] * 50


async def test_cancelling_one_call_touches_no_other(plugin) -> None:
    own = trizmq.Router()

    @own.get("/own/wait/{ms:int}")
    async def wait(ms: int) -> int:
        await trio.sleep(ms / 1000)
        return ms

    async with open_app([plugin(own)], capacity=4) as client:
        for _ in range(10):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(client.get, "/own/wait/30")
                with trio.move_on_after(0.01) as scope:
                    await client.get("/own/wait/10000")
                assert scope.cancelled_caught
        assert (await client.get("/own/wait/1")).json() == 1


@pytest.mark.parametrize("headers", [{"x": 1}, {"x": "\ud800"}, {"x\ny": "z"}])
async def test_a_response_that_cannot_be_written_is_a_500(plugin, headers, caplog) -> None:
    own = trizmq.Router()

    @own.get("/own/bad")
    async def bad() -> trizmq.Response:
        return trizmq.Response(200, headers=headers)

    async with open_app([plugin(own)]) as client:
        with trio.fail_after(2):
            assert (await client.get("/own/bad")).status == 500
            responses = await client.call_many([("GET", "/own/bad"), ("GET", "/nope")] * 20)
    assert [response.status for response in responses] == [500, 404] * 20


@pytest.mark.parametrize(
    "args",
    [
        (99,),
        (600,),
        ("200",),
        (200, {}, "text"),
        (200, {}, None),
    ],
)
async def test_an_invalid_response_is_a_500(plugin, args, caplog) -> None:
    own = trizmq.Router()

    @own.get("/own/bad")
    async def bad() -> trizmq.Response:
        return trizmq.Response(*args)

    async with open_app([plugin(own)]) as client:
        with trio.fail_after(2):
            assert (await client.get("/own/bad")).status == 500
