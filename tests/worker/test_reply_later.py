"""An owed call finishes once, with the first outcome, and is over afterwards."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trizmq
from trizmq.app.application import App
from trizmq.calls import Work
from trizmq.testing import open_app
from trizmq.wire.items import DEFAULT_TAKES, Call, Takes
from trizmq.worker.runner import LocalWorker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass
class Bench:
    """A worker with a recording engine."""

    worker: LocalWorker[Work]
    log: list[Any]
    taken: list[trizmq.Later] = field(default_factory=list)

    @property
    def ends(self) -> list[Any]:
        """The records without the flushes."""
        return [entry for entry in self.log if entry != "flush"]

    async def start(self, method: str = "GET", principal: trizmq.Principal | None = None) -> Work:
        flight = Work(Call(1, 30_000, method, "/t", {}, b""), float("inf"), "r-1")
        flight.principal = principal
        self.worker.start([flight])
        await wait_all_tasks_blocked()
        return flight

    def stop(self, flight: Work) -> None:
        flight.ended = True  # engines set this first
        self.worker.stop([flight])


@pytest.fixture
def bench(plugin: Any) -> Callable[..., Any]:
    """Run a worker with this handler for any method of /t.

    The handler is called with the request and the bench.
    """

    @asynccontextmanager
    async def run(handler: Any, *, access_log: bool = False) -> AsyncIterator[Bench]:
        routes, log = trizmq.Router(), list[Any]()

        @routes.any("/t")
        async def handle(request: trizmq.Request) -> Any:
            made.taken.append(request.reply_later())
            return await handler(request, made)

        class Sink:
            def finish(self, flight: Work, response: trizmq.Response | None) -> None:
                flight.ended = True
                log.append(response and (response.status, response.body))

            def begin(self, flight: Work, head: trizmq.Response) -> None:
                raise NotImplementedError

            def part(self, flight: Work, body: bytes) -> None:
                log.append(body)

            def takes(self, flight: Work) -> Takes:
                return DEFAULT_TAKES

            def act(self) -> None:
                log.append("flush")

        worker = LocalWorker[Work](App([plugin(routes)]), Sink(), capacity=1, access_log=access_log)
        made = Bench(worker, log)
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run)
            yield made
            nursery.cancel_scope.cancel()

    return run


async def goes(request: trizmq.Request, bench: Bench) -> None:
    """Return immediately."""


async def stays(request: trizmq.Request, bench: Bench) -> None:
    await trio.sleep_forever()


async def test_the_response_is_sent_immediately(bench: Any) -> None:
    async with bench(goes) as it:
        await it.start()
        (later,) = it.taken
        assert it.log == ["flush"]  # from the pool, with no results
        it.log.clear()
        assert later.acknowledge(b"soon")
        assert it.log == [b"soon", "flush"]
        assert later.respond({"n": 1})
        assert it.log[2:] == [(200, b'{"n":1}'), "flush"]
        assert later.is_over
        assert not later.respond(2)
        assert not later.acknowledge(b"too late")
    assert len(it.log) == 4


async def test_the_handlers_task_is_free_while_a_response_is_owed(bench: Any) -> None:
    async with bench(goes) as it:
        for _ in range(3):
            await it.start()
        for number, later in enumerate(it.taken):
            later.respond(number)
    assert it.ends == [
        (200, b"0"),
        (200, b"1"),
        (200, b"2"),
    ]


async def test_a_head_has_neither_parts_nor_a_body(bench: Any) -> None:
    async with bench(goes) as it:
        await it.start("HEAD")
        it.log.clear()
        assert it.taken[0].acknowledge(b"part")
        it.taken[0].respond("text")
    assert it.log == [(200, b""), "flush"]


async def test_an_exception_after_reply_later_is_the_response(bench: Any) -> None:
    async def raises(request: trizmq.Request, it: Bench) -> None:
        raise trizmq.HTTPError(409)

    async with bench(raises) as it:
        await it.start()
        assert it.taken[0].is_over
        assert not it.taken[0].respond(1)
    assert [entry[0] for entry in it.ends] == [409]


@pytest.mark.parametrize("error", [None, trizmq.HTTPError(409)])
async def test_a_handler_may_respond_before_it_ends(bench: Any, error: Exception | None) -> None:
    async def answers(request: trizmq.Request, it: Bench) -> None:
        it.taken[0].respond("early")
        await trio.lowlevel.checkpoint()
        if error:
            raise error

    async with bench(answers) as it:
        await it.start()
    assert it.ends == [(200, b'"early"')]


async def test_a_stop_ends_owed_calls(bench: Any) -> None:
    async with bench(goes) as it:
        flight = await it.start()
        it.stop(flight)
        assert it.taken[0].is_over
        assert it.log[1:] == [None]
        assert not it.taken[0].respond(1)
        it.worker.stop([flight])
    assert it.log[1:] == [None]


async def test_a_stop_while_the_handler_runs_waits_for_its_end(bench: Any) -> None:
    async def lingers(request: trizmq.Request, it: Bench) -> None:
        with trio.CancelScope(shield=True):
            await may_end.wait()

    may_end = trio.Event()
    async with bench(lingers) as it:
        flight = await it.start()
        it.stop(flight)
        assert it.taken[0].is_over
        assert not it.taken[0].respond(1)
        assert it.log == []  # its slot is not free yet
        may_end.set()
        await wait_all_tasks_blocked()
        assert it.log[0] is None
    assert it.log.count(None) == 1


async def test_the_end_of_the_worker_ends_owed_calls(bench: Any) -> None:
    async with bench(goes) as it:
        await it.start()
    assert it.taken[0].is_over
    assert it.log[1:] == [None]
    async with bench(stays) as it:
        await it.start()
    assert it.taken[0].is_over
    assert it.log == [None]


async def test_reply_later_after_the_end_is_over(bench: Any, plugin: Any) -> None:
    kept = list[trizmq.Request]()

    async def keeps(request: trizmq.Request, it: Bench) -> None:
        kept.append(request)
        assert request.reply_later() is it.taken[0]
        it.taken[0].respond(1)

    async with bench(keeps) as it:
        await it.start()
        (request,) = kept
        assert request.reply_later() is it.taken[0]
        request.later = None  # as if the handler had not called it before
        assert request.reply_later().is_over
    assert it.log.count((200, b"1")) == 1
    assert None not in it.log
    assert "Work" not in repr(request)


async def test_a_cancelled_task_abandons_its_call(bench: Any) -> None:
    async with bench(goes) as it:
        await it.start()
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.sleep_forever()
            except BaseException as error:
                it.taken[0].fail(error)
                raise AssertionError("swallowed") from None
        assert scope.cancelled_caught
        (status, _), flushed = it.log[1:]
        assert (status, flushed) == (502, "flush")


async def test_one_line_in_the_access_log_when_the_response_is_sent(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trizmq.access")
    async with bench(goes, access_log=True) as it:
        await it.start()
        assert caplog.records == []
        it.taken[0].respond((202, "done"))
        (record,) = caplog.records
    assert vars(record)["status"] == 202
    assert len(caplog.records) == 1


async def test_the_principal_is_the_one_that_the_broker_set(bench: Any) -> None:
    async def tells(request: trizmq.Request, it: Bench) -> None:
        it.taken[0].respond(request.principal and request.principal.name)

    async with bench(tells) as it:
        await it.start(principal=trizmq.Principal("ada"))
        await it.start()
    assert it.ends[0] == (200, b'"ada"')


# -- the same, from client to handler --------------------------------------------------


@pytest.fixture
def owing(plugin: Any) -> Any:
    """A plugin that owes every response, and the list of owed responses."""
    routes, owed = trizmq.Router(), list[trizmq.Later]()

    @routes.get("/owing/async")
    async def owe(request: trizmq.Request) -> None:
        owed.append(request.reply_later())

    @routes.get("/owing/nothing")
    async def answer() -> str:
        return "at once"

    @routes.get("/owing/thread")
    def owe_in_thread(request: trizmq.Request) -> None:
        later = request.reply_later()
        trio.from_thread.run_sync(later.respond, "from a thread")

    return plugin(routes), owed


async def test_any_task_can_respond_to_a_client(owing: Any, autojump_clock: Any) -> None:
    plugin, owed = owing
    got = list[Any]()

    async def call(client: trizmq.Client) -> None:
        got.append((await client.get("/owing/async")).json())

    async with open_app([plugin]) as client, trio.open_nursery() as nursery:
        nursery.start_soon(call, client)
        nursery.start_soon(call, client)
        await trio.sleep(1)
        assert got == []
        owed[1].respond(2)
        await trio.sleep(1)
        owed[0].respond(1)
    assert got == [2, 1]


async def test_a_thread_can_respond_to_a_client(owing: Any) -> None:
    async with open_app([owing[0]]) as client:
        assert (await client.get("/owing/thread")).json() == "from a thread"


async def test_a_deadline_or_a_cancellation_ends_an_owed_call_and_frees_its_slot(
    owing: Any, autojump_clock: Any
) -> None:
    plugin, owed = owing
    async with open_app([plugin], capacity=1) as client:
        for _ in range(2):
            with trio.move_on_after(1):
                await client.get("/owing/async")
            await trio.sleep(0.1)
            assert owed[-1].is_over
            assert not owed[-1].respond("late")
        with pytest.raises(trizmq.DeadlineExceeded):
            await client.get("/owing/async")
        await trio.sleep(0.1)
        assert [later.is_over for later in owed] == [True] * 3
        assert (await client.get("/owing/nothing")).json() == "at once"
