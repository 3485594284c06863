"""A plugin's settings are what it asked for, or the start stops and says which key is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import msgspec
import pytest

from trizmq import ConfigError, PluginError, Response
from trizmq.app.application import App
from trizmq.app.plugins import load

Call = Callable[..., Awaitable[Response]]
Make = Callable[..., ModuleType]


class Pool(msgspec.Struct):
    size: int = 1


class Settings(msgspec.Struct, rename="kebab"):
    dsn: str
    page_size: int = 20
    pool: Pool = msgspec.field(default_factory=Pool)


@dataclasses.dataclass
class Plain:
    size: int = 1


async def config_given(make_plugin: Make, kind: Any, table: Any) -> Any:
    given = list[Any]()
    plugin = make_plugin("p", config=kind, lifespan=lambda config: given.append(config))
    async with App([plugin], config=table).lifespan():
        return given[0]


@pytest.mark.parametrize(
    ("kind", "table", "config"),
    [
        (Settings, {"dsn": "x", "page-size": 5}, Settings("x", 5)),
        (Settings, {"dsn": "x", "pool": {"size": 3}}, Settings("x", 20, Pool(3))),
        (Plain, {"size": 2}, Plain(2)),
        (Plain, {}, Plain(1)),
        (Plain, None, Plain(1)),
    ],
)
async def test_a_table_becomes_what_the_plugin_asked_for(
    make_plugin: Make, kind: Any, table: Any, config: Any
) -> None:
    assert await config_given(make_plugin, kind, {} if table is None else {"p": table}) == config


async def test_without_the_hook_there_is_no_config(make_plugin: Make) -> None:
    assert await config_given(make_plugin, None, None) is None


@pytest.mark.parametrize(
    ("kind", "table", "why"),
    [
        (Settings, {}, "[plugin.p]: Object missing required field `dsn`"),
        (Settings, {"dsn": 1}, "[plugin.p]: Expected `str`, got `int` - at `$.dsn`"),
        (
            Settings,
            {"dsn": "x", "page_size": 1},
            "[plugin.p]: unknown key `page_size`; known are: dsn, page-size, pool",
        ),
        (
            Settings,
            {"dsn": "x", "pool": {"sise": 1}},
            "[plugin.p]: unknown key `pool.sise`; known are: dsn, page-size, pool",
        ),
        (Plain, {"size": "2"}, "[plugin.p]: Expected `int`, got `str` - at `$.size`"),
        (None, {"size": 2}, "[plugin.p]: this plugin has no settings"),
    ],
)
def test_a_table_that_does_not_fit(make_plugin: Make, kind: Any, table: Any, why: str) -> None:
    plugin = make_plugin("p", config=kind)
    with pytest.raises(ConfigError) as caught:
        App([plugin], config={"p": table})
    assert str(caught.value) == why


def test_a_table_of_no_plugin_at_all(make_plugin: Make) -> None:
    plugin = make_plugin("p", register_routes=[])
    with pytest.raises(ConfigError, match=r"\[plugin.q\]: there is no such plugin"):
        App([plugin], config={"q": {}})


def test_a_table_of_a_plugin_that_another_process_has(make_plugin: Make) -> None:
    here = make_plugin("here", admit=None)
    there = make_plugin("there", config=Plain, register_routes=[])
    app = App(load([here, there]).with_hooks("trizmq_admit"), config={"there": {"size": 2}})
    assert [plugin.name for plugin in app.plugins] == ["here"]


def test_a_table_of_an_installed_plugin_that_is_not_loaded(
    make_plugin: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trizmq.app.application.installed_names", lambda: ("q",))
    assert App([make_plugin("p", register_routes=[])], config={"q": {"x": 1}}).routes == ()


@pytest.mark.parametrize("kind", [dict, int, Callable[[], int], "Nowhere"])
def test_settings_are_a_struct_or_a_dataclass(make_plugin: Make, kind: Any) -> None:
    plugin = make_plugin("p", config=lambda: kind)
    with pytest.raises(PluginError, match="plugin 'p': trizmq_config"):
        App([plugin])
