"""Settings of a plugin match its type, or the start fails and names the key."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import sys
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import msgspec
import pytest

from trizmq import ConfigError, PluginError, Response
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.testing import open_app

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
async def test_a_table_is_converted_to_the_plugins_type(
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
            "[plugin.p]: unknown key `page_size`; known keys: dsn, page-size, pool",
        ),
        (
            Settings,
            {"dsn": "x", "pool": {"sise": 1}},
            "[plugin.p]: unknown key `pool.sise`; known keys: dsn, page-size, pool",
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


# Inside Optional, list and dict, and in dataclasses inside other types.


@dataclasses.dataclass
class Mirror:
    url: str
    weight: int = 1


class Deep(msgspec.Struct):
    main: Mirror | None = None
    mirrors: list[Mirror] = []
    by_name: dict[str, Mirror | None] = {}
    pools: tuple[Pool, ...] = ()


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"main": {"url": "a", "wieght": 1}}, "`main.wieght`"),
        ({"mirrors": [{"url": "a"}, {"url": "b", "wieght": 1}]}, "`mirrors[1].wieght`"),
        ({"by_name": {"x": {"url": "a", "wieght": 1}}}, "`by_name.x.wieght`"),
        ({"pools": [{"sise": 1}]}, "`pools[0].sise`"),
    ],
)
def test_a_misspelt_key_is_found_at_every_level(make_plugin: Make, table: Any, key: str) -> None:
    plugin = make_plugin("p", config=Deep)
    with pytest.raises(ConfigError, match=re.escape(f"[plugin.p]: unknown key {key}; ")):
        App([plugin], config={"p": table})


async def test_defaults_of_inner_dataclasses(make_plugin: Make) -> None:
    table = {"main": {"url": "a"}, "mirrors": [{"url": "b"}], "by_name": {"x": {"url": "c"}}}
    config = await config_given(make_plugin, Deep, {"p": table})
    assert [vars(config.main), vars(config.mirrors[0]), vars(config.by_name["x"])] == [
        {"url": "a", "weight": 1},
        {"url": "b", "weight": 1},
        {"url": "c", "weight": 1},
    ]


# A module passed as an object is known by its own name, and by the name of its entry point.


@pytest.fixture
def installed_plugin(
    make_plugin: Make, monkeypatch: pytest.MonkeyPatch
) -> tuple[ModuleType, list[Any]]:
    given = list[Any]()
    module = make_plugin("its_module", config=Plain, lifespan=lambda config: given.append(config))
    entry = importlib.metadata.EntryPoint("its_name", "its_module", "trizmq")
    monkeypatch.setitem(sys.modules, "its_module", module)
    monkeypatch.setattr("trizmq.app.plugins.entry_points", lambda group: [entry])
    return module, given


@pytest.mark.parametrize("name", ["its_module", "its_name"])
async def test_open_app_gives_a_module_its_table(
    installed_plugin: tuple[ModuleType, list[Any]], name: str
) -> None:
    module, given = installed_plugin
    async with open_app(plugins=[module], config={name: {"size": 7}}):
        assert given == [Plain(7)]
    with pytest.raises(ConfigError, match=r"unknown key `sise`"):
        App([module], config={name: {"sise": 7}})


def test_one_table_is_enough(installed_plugin: tuple[ModuleType, list[Any]]) -> None:
    module, _ = installed_plugin
    with pytest.raises(ConfigError, match="one plugin has two tables: its_module, its_name"):
        App([module], config={"its_name": {}, "its_module": {}})


def test_a_table_for_an_unknown_plugin_lists_the_loaded_ones(make_plugin: Make) -> None:
    with pytest.raises(ConfigError, match=r"there is no such plugin; loaded plugins: a.b, c"):
        App([make_plugin("a.b", admit=None), make_plugin("c", admit=None)], config={"b": {}})
