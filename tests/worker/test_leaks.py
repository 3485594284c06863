"""Anything a handler leaves behind affects only its own call: scopes, nurseries, exceptions."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

import trizmq
from trizmq.testing import open_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# Trio's warning about each generator that was not closed.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")

BOX: ContextVar[Any] = ContextVar("BOX", default=None)


class Rude(BaseException):
    pass


class Array:
    """A value without a truth value in comparisons, like numpy's."""

    def __eq__(self, other: object) -> Any:
        raise ValueError("the truth value of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]


async def numbers(seconds: float) -> AsyncIterator[int]:
    with trio.move_on_after(seconds):
        for number in range(3):
            yield number


async def tasks(until: trio.Event) -> AsyncIterator[int]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(until.wait)
        yield 1


async def slow_tasks() -> AsyncIterator[int]:
    async def end_late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)

    async with trio.open_nursery() as outer, trio.open_nursery() as inner:
        outer.start_soon(end_late)
        inner.start_soon(end_late)
        await trio.testing.wait_all_tasks_blocked(0.005)
        yield 1


KEPT: list[object] = []
ENDED: list[str] = []

routes = trizmq.Router("/leaks")


@routes.get("/generator")
async def from_a_generator() -> int:
    async for number in numbers(0.05):
        return number
    return -1


@routes.get("/kept-generator")
async def from_a_generator_that_lives_on() -> int:
    generator = numbers(0.05)
    KEPT.append(generator)
    return await anext(generator)


@routes.get("/scope")
async def scope() -> str:
    trio.CancelScope(deadline=trio.current_time() + 0.05).__enter__()
    return "done"


@routes.get("/scopes")
async def scopes() -> str:
    for _ in range(3):
        trio.CancelScope(shield=True).__enter__()
    raise ValueError("and fails besides")


@routes.get("/inline", inline=True)
def inline() -> str:
    trio.CancelScope().__enter__().cancel()
    return "done"


@routes.get("/nursery")
async def nursery() -> str:
    manager = trio.open_nursery()
    opened = await manager.__aenter__()

    async def child(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ENDED.append(name)

    opened.start_soon(child, "one")
    opened.start_soon(child, "two")
    await trio.lowlevel.checkpoint()
    return "done"


@routes.get("/failing-nursery")
async def failing_nursery() -> str:
    opened = await trio.open_nursery().__aenter__()

    async def child() -> None:
        raise Rude("later")

    opened.start_soon(child)
    return "done"


@routes.get("/nursery-generator")
async def from_a_generator_with_a_nursery() -> int:
    async for number in tasks(trio.Event()):
        return number
    return -1


@routes.get("/slow-nursery-generator")
async def from_a_generator_whose_tasks_end_late() -> int:
    async for number in slow_tasks():
        return number
    return -1


@routes.get("/expired")
async def waits_in_a_scope_left_open() -> None:
    await anext(numbers(0.01))
    trio.CancelScope(deadline=trio.current_time() + 0.01).__enter__()
    await trio.sleep_forever()


@routes.get("/guarded", public=True)
async def guarded() -> str:
    return "never"


@routes.get("/cancelled")
async def raises_cancelled() -> None:
    raise await a_cancelled()


@routes.get("/cancelled-group")
async def raises_a_group_with_it() -> None:
    raise BaseExceptionGroup("g", [await a_cancelled(), ValueError("secret")])


@routes.get("/later")
async def fails_after_reply_later(request: trizmq.Request) -> None:
    request.reply_later()
    raise await a_cancelled()


@routes.get("/fine")
async def fine() -> str:
    await trio.sleep(0.001)
    return "fine"


async def a_cancelled() -> trio.Cancelled:
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            return error
    raise AssertionError


LEAKS = {
    "generator": "cancel scope",
    "kept-generator": "cancel scope",
    "scope": "cancel scope",
    "scopes": "cancel scope",
    "inline": "cancel scope",
    "nursery": "nursery",
    "failing-nursery": "nursery",
    "nursery-generator": "nursery",
    "slow-nursery-generator": "nursery",
}


@pytest.mark.parametrize("how", LEAKS)
async def test_an_open_scope_ends_only_its_own_call(plugin, serving, caplog, how) -> None:
    # The same pool handles all: two of its tasks are used repeatedly.
    async with (
        serving(routes, capacity=2) as endpoint,
        trizmq.open_client(endpoint) as client,
    ):
        for _ in range(4):
            response = await client.get(f"/leaks/{how}")
            assert response.status == 500
            assert response.json()["detail"] == f"the handler left a {LEAKS[how]} open"
            assert (await client.get("/leaks/fine")).json() == "fine"
        await trio.sleep(0.1)  # the abandoned deadlines pass
        for _ in range(4):
            assert (await client.get("/leaks/fine")).json() == "fine"
    assert f"failed (request {response.json()['request_id']}): the handler left a" in caplog.text
    KEPT.clear()


async def test_the_tasks_of_a_nursery_left_open_are_ended(plugin) -> None:
    ENDED.clear()
    async with open_app([plugin(routes)]) as client:
        assert (await client.get("/leaks/nursery")).status == 500
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(ENDED) == ["one", "two"]


@pytest.mark.parametrize("how", ["cancelled", "cancelled-group", "later", "expired"])
async def test_a_cancelled_that_is_not_ours_is_a_500(plugin, caplog, how) -> None:
    async with open_app([plugin(routes)]) as client:
        with trio.fail_after(5):
            response = await client.get(f"/leaks/{how}")
        assert response.status == 500
        assert (await client.get("/leaks/fine")).json() == "fine"
    assert "the handler raised trio.Cancelled, but was not cancelled" in caplog.text


# -- context ---------------------------------------------------------------------------


class Boxes:
    """A plugin with a handler that leaves ``value`` in a context variable set by its lifespan."""

    def __init__(self, before: object, value: object) -> None:
        self._value = value
        self._before = before
        self.seen: list[object] = []

    @trizmq.hookimpl
    def trizmq_register_routes(self) -> trizmq.Router:
        routes = trizmq.Router("/box")

        @routes.get("")
        async def leave() -> None:
            self.seen.append(BOX.get())
            BOX.set(self._value)

        return routes


@pytest.mark.parametrize(
    ("before", "after"), [(Array(), Array()), ([], []), (None, Array()), (0, False)]
)
async def test_contexts_are_the_same_only_if_the_values_are(before: object, after: object) -> None:
    token = BOX.set(before)
    try:
        plugin = Boxes(before, after)
        async with open_app([plugin]) as client:
            for _ in range(5):
                assert (await client.get("/box")).status == 204
        assert all(seen is before for seen in plugin.seen)
    finally:
        BOX.reset(token)


# -- exceptions that end programs ----------------------------------------------------------

ENDINGS = """
import trio, trizmq

routes = trizmq.Router("/end")

class Own(BaseException): ...

KINDS = {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "generator": GeneratorExit(),
         "own": Own(), "group": BaseExceptionGroup("g", [KeyboardInterrupt(), SystemExit(1)])}

@routes.get("/async/{kind}")
async def a(kind: str) -> None:
    raise KINDS[kind]

@routes.get("/thread/{kind}")
def b(kind: str) -> None:
    raise KINDS[kind]

@routes.get("/inline/{kind}", inline=True)
def c(kind: str) -> None:
    raise KINDS[kind]

@routes.get("/nursery/{kind}")
async def d(kind: str) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(a, kind)

@routes.get("/later/{kind}")
async def e(kind: str, request: trizmq.Request) -> None:
    request.reply_later().fail(KINDS[kind])

@routes.get("/guarded/{kind}")
async def f(kind: str) -> None: ...

@routes.get("/fine")
async def fine() -> str:
    return "fine"

@routes.get("/wait")
async def wait() -> None:
    while True:
        await trio.lowlevel.checkpoint()

@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes

@trizmq.hookimpl
def trizmq_precondition(route):
    if route.pattern == "/end/guarded/{kind}":
        def refuse(request):
            raise KINDS[request.path_params["kind"]]
        return refuse

@trizmq.hookimpl
def trizmq_on_event(event):
    raise KeyboardInterrupt
"""

HOWS = ["async", "thread", "inline", "nursery", "later", "guarded"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", ["exit", "interrupt", "generator", "own", "group"])
async def test_exceptions_that_end_programs_are_a_500_in_a_handler(
    serving, caplog: pytest.LogCaptureFixture, how: str, kind: str
) -> None:
    import types

    module = types.ModuleType("endings")
    exec(ENDINGS, vars(module))
    async with serving(module) as endpoint, trizmq.open_client(endpoint) as client:
        response = await client.get(f"/end/{how}/{kind}")
        assert response.status == 500
        assert (await client.get("/end/fine")).json() == "fine"
    lines = [record for record in caplog.records if record.name == "trizmq.app"]
    failures = [record for record in lines if "failed (request" in record.getMessage()]
    assert [record.levelno for record in failures] == [logging.ERROR]


OWN_PROGRAM = """
import sys, trio, trizmq
sys.path.insert(0, ".")
import endings

async def main():
    async with trio.open_nursery() as nursery:
        endpoint = await nursery.start(lambda task_status: trizmq.serve(
            plugins=[endings], bind="tcp://127.0.0.1:*", task_status=task_status))
        async with trizmq.open_client(endpoint) as client:
            nursery.start_soon(client.get, "/end/wait")
            await trio.sleep(0.2)
            print("up", flush=True)
            await trio.sleep_forever()

trio.run(main)
"""


def test_ctrl_c_ends_a_program_that_serves(tmp_path: Path) -> None:
    # The loop is busy with a handler, so most signals arrive during that.
    (tmp_path / "endings.py").write_text(ENDINGS)
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", OWN_PROGRAM],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        ) as program:
            try:
                assert program.stdout
                assert program.stdout.readline() == b"up\n"
                program.send_signal(signal.SIGINT)
                _, said = program.communicate(timeout=10)
                assert b"KeyboardInterrupt" in said
            finally:
                program.kill()
