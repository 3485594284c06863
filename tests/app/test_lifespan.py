"""Lifespans are entered in order and left in reverse order, and their exceptions are unchanged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio

import trizmq
from trizmq import PluginError, Response, Router
from trizmq.app.application import App
from trizmq.app.lifespan import LEAVE_SECONDS
from trizmq.processes.work import work
from trizmq.testing import open_app

Call = Callable[..., Awaitable[Response]]
Make = Callable[..., ModuleType]


class Lifespan:
    """A lifespan that records its events."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append(f"enter {self.name}")

    async def __aexit__(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append(f"leave {self.name}")


async def test_entered_in_order_left_in_reverse(make_plugin: Make) -> None:
    log = list[str]()
    plugins = [
        make_plugin(name, lifespan=lambda name=name: Lifespan(log, name)) for name in ("b", "a")
    ]
    async with App([*plugins, make_plugin("none", lifespan=None)]).lifespan():
        log.append("serve")
    assert log == ["enter b", "enter a", "serve", "leave a", "leave b"]


async def test_if_one_fails_to_start_the_others_are_left(make_plugin: Make) -> None:
    log = list[str]()

    @asynccontextmanager
    async def fail() -> AsyncIterator[None]:
        async with trio.open_nursery():
            raise OSError("no database")
        yield

    plugins = [
        make_plugin("a", lifespan=lambda: Lifespan(log, "a")),
        make_plugin("b", lifespan=fail),
    ]
    with pytest.raises(OSError, match="no database"):
        async with App(plugins).lifespan():
            log.append("never")
    assert log == ["enter a", "leave a"]


@asynccontextmanager
async def with_nursery() -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        yield
        nursery.cancel_scope.cancel()


async def test_an_exception_from_the_block_passes_through_the_plugins_nurseries(
    make_plugin: Make,
) -> None:
    app = App([make_plugin("a", lifespan=with_nursery), make_plugin("b", lifespan=with_nursery)])
    with pytest.raises(KeyError):
        async with app.lifespan():
            raise KeyError
    async with app.lifespan():
        pass
    with trio.move_on_after(0) as scope:
        async with app.lifespan():
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def bare_generator() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("lifespan", "why"),
    [
        (bare_generator, r"no async context manager \(it lacks contextlib.asynccontextmanager\)"),
        (lambda: 1, "no async context manager$"),
        (lambda: 1 / 0, "trizmq_lifespan: ZeroDivisionError: division by zero"),
    ],
)
async def test_invalid_lifespans(make_plugin: Make, lifespan: Any, why: str) -> None:
    with pytest.raises(PluginError, match=f"plugin 'p': .*{why}"):
        async with App([make_plugin("p", lifespan=lifespan)]).lifespan():
            pass


async def test_the_state_directory_is_created_on_demand(make_plugin: Make, tmp_path: Path) -> None:
    given = list[Path]()

    def lifespan(state_dir: Path) -> None:
        given.append(state_dir)

    where = tmp_path / "state"
    async with App([make_plugin("p", lifespan=lambda: None)], state_dir=where).lifespan():
        assert not where.exists()
    async with App([make_plugin("p", lifespan=lifespan)], state_dir=where).lifespan():
        assert where.is_dir()
    assert given == [where]


# The code after the yield runs, whatever ends the serving code.


class Log:
    """Record how far lifespans get."""

    def __init__(self) -> None:
        self.lines = list[str]()

    def plain(self, name: str) -> Any:
        """A lifespan as in the documentation, without `try` and `finally`."""

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            self.lines.append(f"enter {name}")
            yield
            await trio.lowlevel.checkpoint()
            self.lines.append(f"leave {name}")

        return lifespan

    def with_task(self, name: str) -> Any:
        """A lifespan that asks its own task to finish, which a cancelled task could not do."""

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            send, receive = trio.open_memory_channel[trio.Event](0)

            async def task() -> None:
                async for done in receive:
                    done.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(task)
                yield
                done = trio.Event()
                await send.send(done)
                await done.wait()
                nursery.cancel_scope.cancel()
            await trio.lowlevel.checkpoint()
            self.lines.append(f"leave {name}")

        return lifespan

    def failing(self, event: trio.Event) -> Any:
        """A lifespan with a task that fails on request."""

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            async def task() -> None:
                await event.wait()
                raise ConnectionError("lost")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(task)
                yield
                nursery.cancel_scope.cancel()

        return lifespan


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def both(make_plugin: Make, log: Log) -> list[ModuleType]:
    return [
        make_plugin("a", lifespan=log.plain("a")),
        make_plugin("b", lifespan=log.with_task("b")),
    ]


LEFT = ["enter a", "leave b", "leave a"]


async def test_lifespans_are_left_when_serving_is_cancelled(both: Any, log: Log) -> None:
    async with trio.open_nursery() as nursery:

        async def hold(*, task_status: trio.TaskStatus[None]) -> None:
            async with App(both).lifespan():
                task_status.started()
                await trio.sleep_forever()

        await nursery.start(hold)
        nursery.cancel_scope.cancel()
    assert log.lines == LEFT


async def test_left_at_a_deadline_and_then_cancelled(both: Any, log: Log) -> None:
    with trio.move_on_after(0.01) as scope:
        async with App(both).lifespan():
            await trio.sleep_forever()
        log.lines.append("after the block")
    assert scope.cancelled_caught
    assert log.lines == LEFT


async def test_left_when_the_block_fails(both: Any, log: Log) -> None:
    with pytest.raises(KeyError):
        async with App(both).lifespan():
            raise KeyError
    assert log.lines == LEFT


async def test_left_when_another_fails_to_start(both: Any, log: Log, make_plugin: Make) -> None:
    @asynccontextmanager
    async def fail() -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    with pytest.raises(OSError, match="no database") as caught:
        async with App([*both, make_plugin("c", lifespan=fail)]).lifespan():
            log.lines.append("never")
    assert caught.value.__notes__ == ["It came from the lifespan of plugin 'c'."]
    assert log.lines == LEFT


async def test_left_when_the_start_is_cancelled(both: Any, log: Log, make_plugin: Make) -> None:
    @asynccontextmanager
    async def wait() -> AsyncIterator[None]:
        await trio.sleep_forever()
        yield

    with trio.move_on_after(0.01) as scope:
        async with App([both[0], make_plugin("c", lifespan=wait)]).lifespan():
            log.lines.append("never")
    assert scope.cancelled_caught
    assert log.lines == ["enter a", "leave a"]


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_the_error_of_a_task_is_itself(
    both: Any, log: Log, make_plugin: Make, place: int
) -> None:
    event = trio.Event()
    both.insert(place, make_plugin("f", lifespan=log.failing(event)))

    async def serve() -> None:
        async with App(both).lifespan(), trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            event.set()
            await trio.sleep_forever()

    with pytest.raises(ConnectionError, match="lost") as caught:
        await serve()
    assert caught.value.__notes__ == ["It came from the lifespan of plugin 'f'."]
    # The tasks in its nursery were cancelled with it, but it is still left normally.
    assert log.lines[-1] == "leave a"


async def test_one_that_does_not_end_is_cancelled(
    log: Log, make_plugin: Make, autojump_clock: trio.testing.MockClock, caplog: Any
) -> None:
    @asynccontextmanager
    async def endless() -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            yield

    plugins = [
        make_plugin("a", lifespan=log.plain("a")),
        make_plugin("e", lifespan=endless),
        make_plugin("b", lifespan=log.plain("b")),
    ]
    began = trio.current_time()
    async with App(plugins).lifespan():
        pass
    assert trio.current_time() - began == LEAVE_SECONDS
    assert log.lines == ["enter a", "enter b", "leave b", "leave a"]
    (record,) = caplog.records
    assert "plugin 'e': its lifespan did not end within 5 s" in record.getMessage()


async def test_errors_on_leaving(both: Any, log: Log, make_plugin: Make, caplog: Any) -> None:
    @asynccontextmanager
    async def fail() -> AsyncIterator[None]:
        yield
        raise OSError("disk full")

    app = App([both[0], make_plugin("c", lifespan=fail)])
    with pytest.raises(OSError, match="disk full"):
        async with app.lifespan():
            pass
    assert not caplog.records
    with pytest.raises(KeyError):
        async with app.lifespan():
            raise KeyError
    assert "plugin 'c': its lifespan failed on exit" in caplog.text
    with pytest.raises(OSError, match="disk full"), trio.move_on_after(0.01):
        async with app.lifespan():
            await trio.sleep_forever()
    assert log.lines == ["enter a", "leave a"] * 3


async def test_one_that_cancels_itself(log: Log, make_plugin: Make) -> None:
    @asynccontextmanager
    async def early() -> AsyncIterator[None]:
        with trio.CancelScope() as scope:
            scope.cancel()
            yield

    @asynccontextmanager
    async def waits() -> AsyncIterator[None]:
        await trio.lowlevel.checkpoint()
        yield

    async with App([make_plugin("a", lifespan=early)]).lifespan():
        await trio.sleep_forever()
    plugins = [make_plugin("a", lifespan=early), make_plugin("b", lifespan=waits)]
    with pytest.raises(PluginError, match="cancelled from inside"):
        async with App(plugins).lifespan():
            log.lines.append("never")
    assert not log.lines


# The same with the functions that serve it.


def routes() -> Router:
    made = Router("/t")

    @made.get("")
    async def ok() -> str:
        return "ok"

    return made


@pytest.fixture
def served(both: list[ModuleType], make_plugin: Make) -> list[ModuleType]:
    return [*both, make_plugin("t", register_routes=routes())]


async def test_open_app_leaves_them(served: Any, log: Log) -> None:
    async with open_app(plugins=served) as client:
        assert (await client.get("/t")).json() == "ok"
    assert log.lines == LEFT
    with pytest.raises(KeyError):
        async with open_app(plugins=served):
            raise KeyError
    assert log.lines == LEFT * 2
    with trio.move_on_after(0.05) as scope:
        async with open_app(plugins=served) as client:
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert log.lines == LEFT * 3


async def test_serve_leaves_them(served: Any, log: Log) -> None:
    async with trio.open_nursery() as nursery:
        serving = partial(trizmq.serve, plugins=served, bind="tcp://127.0.0.1:*")
        endpoint = await nursery.start(serving)
        async with trizmq.open_client(endpoint) as client:
            assert (await client.get("/t")).json() == "ok"
        nursery.cancel_scope.cancel()
    assert log.lines == LEFT


async def test_a_worker_leaves_them(served: Any, log: Log) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(work, plugins=served, connect="tcp://127.0.0.1:9"))
        nursery.cancel_scope.cancel()
    assert log.lines == LEFT


async def test_a_task_that_fails_ends_open_app_with_its_error(
    served: Any, log: Log, make_plugin: Make
) -> None:
    event = trio.Event()
    plugins = [*served, make_plugin("f", lifespan=log.failing(event))]

    async def use() -> None:
        async with open_app(plugins=plugins) as client:
            await client.get("/t")
            event.set()
            await trio.sleep_forever()

    with pytest.raises(ConnectionError, match="lost"):
        await use()
    assert log.lines == LEFT
