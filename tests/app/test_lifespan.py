"""Lifespans are entered in order and left in reverse, and what fails in them is itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio

from trizmq import PluginError, Response
from trizmq.app.application import App

Call = Callable[..., Awaitable[Response]]
Make = Callable[..., ModuleType]


class Lifespan:
    """Writes down what happens to it."""

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


async def test_what_the_body_raises_comes_out_of_plugins_nurseries(make_plugin: Make) -> None:
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
async def test_what_is_no_lifespan(make_plugin: Make, lifespan: Any, why: str) -> None:
    with pytest.raises(PluginError, match=f"plugin 'p': .*{why}"):
        async with App([make_plugin("p", lifespan=lifespan)]).lifespan():
            pass


async def test_the_state_directory_is_made_for_who_asks(make_plugin: Make, tmp_path: Path) -> None:
    given = list[Path]()

    def lifespan(state_dir: Path) -> None:
        given.append(state_dir)

    where = tmp_path / "state"
    async with App([make_plugin("p", lifespan=lambda: None)], state_dir=where).lifespan():
        assert not where.exists()
    async with App([make_plugin("p", lifespan=lifespan)], state_dir=where).lifespan():
        assert where.is_dir()
    assert given == [where]
