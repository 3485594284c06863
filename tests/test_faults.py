"""An error in our own code, caused by a message, ends no loop: it is counted and logged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.client.opening import open_client_on
from trizmq.processes.server import Server
from trizmq.processes.work import work_on
from trizmq.settings import Settings
from trizmq.ticker import MAX_PLACES, Faults, Ticker
from trizmq.transport.memory import MemoryTransport

if TYPE_CHECKING:
    from functools import partial

routes = trizmq.Router()


@routes.get("/users")
async def users() -> int:
    return 1


#: A value that no socket delivers and no code expects, in place of an unknown bug.
NO_FRAMES = cast("list[bytes]", [None])


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_a_place_is_logged_once_and_each_fault_counted(caplog) -> None:
    faults = Faults(logging.getLogger("trizmq.test"))
    for number in range(5):
        faults.note(raised(ValueError(f"number {number}")), "reading")
    faults.note(raised(TypeError("another kind")), "reading")
    assert faults.count == 6
    assert len(caplog.records) == 2
    assert "ValueError at" in caplog.text
    assert "test_faults.py:" in caplog.text
    assert "number 0" in caplog.text  # the traceback of the first one


def test_the_places_are_bounded() -> None:
    faults = Faults(logging.getLogger("trizmq.test"))
    for number in range(MAX_PLACES + 50):
        kind = type(f"Error{number}", (Exception,), {})
        faults.note(raised(kind()), "reading")
    assert faults.count == MAX_PLACES + 50
    assert len(faults._places) == MAX_PLACES


@pytest.fixture
def server_on(plugin, tmp_path) -> Any:
    def make(transport: MemoryTransport, **options: Any) -> Server:
        app = App(load([plugin(routes)]), state_dir=tmp_path)
        return Server(transport, app, Settings(bind="front", **options))

    return make


async def test_the_broker_goes_on_and_answers_where_it_can(server_on, caplog) -> None:
    transport = MemoryTransport()
    server = server_on(transport, backend="back")
    async with running(server.run), open_client_on(transport, "front") as client:
        for endpoint in ["front", "back"]:
            stranger = transport.connect(endpoint)
            for _ in range(3):
                stranger.send_nowait(NO_FRAMES)
            caller = transport.connect("front")
            caller.send_nowait([b"", b'{"path":"/users"}', *NO_FRAMES])
            with trio.fail_after(5):
                while (reply := caller.receive_nowait()) is None:
                    await caller.wait_readable()
            # Compiled code fails on reading the message, pure Python on checking its size.
            assert b'"status":400' in reply[1] or b'"status":500' in reply[1]
        assert (await client.get("/users")).status == 200
    assert server.broker.counters.faults >= 8
    assert 2 <= len(caplog.records) <= 6
    assert "a fault while" in caplog.text


async def test_a_worker_goes_on(server_on, plugin, tmp_path, caplog) -> None:
    transport = MemoryTransport()
    server = server_on(transport, backend="back", capacity=0)
    app = App(load([plugin(routes)]), state_dir=tmp_path)
    async with (
        running(server.run),
        running(partial_of(work_on, transport, app, Settings(backend="back"), name="w")),
        open_client_on(transport, "front") as client,
    ):
        assert (await client.get("/users")).status == 200
        _deliver(transport, "back", NO_FRAMES)
        with trio.fail_after(5):
            assert (await client.get("/users")).status == 200
    assert "a fault while" in caplog.text


async def test_a_client_goes_on(server_on, caplog) -> None:
    transport = MemoryTransport()
    server = server_on(transport)
    async with running(server.run), open_client_on(transport, "front") as client:
        assert (await client.get("/users")).status == 200
        _deliver(transport, "front", NO_FRAMES)
        with trio.fail_after(5):
            assert (await client.get("/users")).status == 200
    assert "a fault while" in caplog.text


def partial_of(function: Any, *args: Any, **options: Any) -> partial[Any]:
    from functools import partial

    return partial(function, *args, **options)


def _deliver(transport: MemoryTransport, endpoint: str, frames: list[bytes]) -> None:
    """Let every peer of ``endpoint`` receive ``frames``."""
    router = transport._routers[endpoint]
    for dealer in router._peers.values():
        dealer.inbox.append(frames)
        dealer.wake()


async def test_a_ticker_goes_on_after_a_pause(caplog, autojump_clock) -> None:
    class Engine:
        ticks = 0

        @property
        def next_tick(self) -> float:
            return 1.0

        def tick(self, now: float) -> None:
            self.ticks += 1
            raise ZeroDivisionError

    engine = Engine()
    faults = Faults(logging.getLogger("trizmq.test"))
    with trio.move_on_after(11.05):
        await Ticker(engine, lambda: None, faults).run()
    assert engine.ticks == faults.count == 101
    assert len(caplog.records) == 1


async def test_a_ticker_without_a_last_resort_raises() -> None:
    class Engine:
        next_tick = float("-inf")

        def tick(self, now: float) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Ticker(Engine(), lambda: None).run()
