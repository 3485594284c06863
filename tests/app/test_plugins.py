"""Plugins are loaded by name, by path or as objects; a broken plugin is one line of error."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

import trizmq
from trizmq import PluginError, hookimpl
from trizmq.app.plugins import Broken, Plugin, installed, installed_names, load

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

GOOD = """
    import trizmq

    @trizmq.hookimpl
    def trizmq_register_routes():
        return []
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install distributions with entry points and one module each, hiding all others."""
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *only_libraries()])

    def one(name: str, source: str = GOOD, *, dist: str | None = None, value: str = "") -> None:
        module = (value or f"{name}_module").partition(":")[0]
        (tmp_path / f"{module}.py").write_text(dedent(source))
        info = tmp_path / f"{dist or f'dist_{name}'}-1.{len(name)}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {dist or f'dist-{name}'}\nVersion: 1.{len(name)}\n")
        (info / "entry_points.txt").write_text(f"[trizmq]\n{name} = {value or module}\n")
        importlib.invalidate_caches()

    yield one
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def only_libraries() -> list[str]:
    """Remove the directories with really installed plugins from `sys.path`."""
    return [path for path in sys.path if "site-packages" not in path and not path.endswith("main")]


def names(plugins: tuple[Plugin, ...]) -> list[str]:
    return [plugin.name for plugin in plugins]


def test_the_named_ones_in_their_order(install: Install) -> None:
    for name in ("a", "b", "c"):
        install(name)
    plugins = load(["c", "a"])
    assert names(plugins.loaded) == ["c", "a"]
    assert plugins.loaded[0] == Plugin("c", sys.modules["c_module"], "dist-c", "1.1")
    assert not plugins.broken


def test_without_names_every_installed_one_by_name(install: Install) -> None:
    for name in ("c", "a", "b"):
        install(name)
    assert names(load().loaded) == ["a", "b", "c"]
    assert installed_names() == ("a", "b", "c")


def test_none_at_all(install: Install) -> None:
    install("a")
    assert load([]).loaded == ()


def test_a_module_by_path_beside_the_named_or_all(install: Install) -> None:
    install("a")
    install("b")
    assert names(load(["b"], modules=["a_module"]).loaded) == ["b", "a_module"]
    install("c", dist="not_a_dist", value="later")
    assert names(load([], modules=["later"]).loaded) == ["later"]


def test_all_and_a_module(install: Install, tmp_path: Path) -> None:
    install("a")
    (tmp_path / "extra.py").write_text(dedent(GOOD))
    assert names(load(modules=["extra"]).loaded) == ["a", "extra"]


def test_twice_the_same_is_once(install: Install) -> None:
    install("a")
    assert names(load(["a", "a"], modules=["a_module"]).loaded) == ["a"]


def test_an_entry_point_may_name_an_object(install: Install) -> None:
    install(
        "a",
        """
        import trizmq

        class Plugin:
            @trizmq.hookimpl
            def trizmq_register_routes(self):
                return []

        plugin = Plugin()
        """,
        value="objects:plugin",
    )
    (plugin,) = load(["a"]).loaded
    assert plugin.module is sys.modules["objects"].plugin


def test_modules_and_objects_as_themselves(make_plugin: Any) -> None:
    class Mine:
        @hookimpl
        def trizmq_register_routes(self) -> list[trizmq.Route]:
            return []

    mine, module = Mine(), make_plugin("module", register_routes=[])
    assert load([mine, module]).loaded == (Plugin("Mine", mine), Plugin("module", module))


def test_two_different_ones_of_one_name(make_plugin: Any) -> None:
    one, other = (make_plugin("same", register_routes=[]) for _ in range(2))
    with pytest.raises(PluginError, match="two different plugins are named 'same'"):
        load([one, other])


def test_two_distributions_with_one_name(install: Install) -> None:
    install("a", dist="one")
    install("a", dist="other", value="other_module")
    install("b")
    both = r"two distributions contain a plugin 'a': (one and other|other and one)"
    for ask in (load, lambda: load(["a"]), lambda: load(["b", "a"])):
        with pytest.raises(PluginError, match=both):
            ask()
    assert names(load(["b"]).loaded) == ["b"]
    assert installed_names() == ("a", "b")
    plugins = installed()
    assert names(plugins.loaded) == ["b"]
    (broken,) = plugins.broken
    assert broken.name == "a"
    assert re.fullmatch(both, broken.reason)


ODD = """
    import trizmq

    class Odd:
        @property
        def %s(self):
            raise %s

        @trizmq.hookimpl
        def trizmq_register_routes(self):
            return []

    plugin = Odd()
"""

BROKEN = [
    ("raise BaseException('odd')", "BaseException: odd"),
    ("class Odd(BaseException): pass\nraise Odd", "Odd"),
    ("raise GeneratorExit", "GeneratorExit"),
    (
        "class Mute(Exception):\n    def __str__(self): raise RuntimeError\nraise Mute",
        "module 'bad_module': Mute (",
    ),
    (
        "class Mute(Exception):\n    def __str__(self): raise SystemExit\nraise Mute",
        "module 'bad_module': Mute (",
    ),
    ("class P:\n    def __dir__(self): raise OSError('no')\nplugin = P()", "OSError: no"),
    (ODD % ("trizmq_admit", "OSError('no')"), "its hooks cannot be read: OSError: no"),
    (ODD % ("trizmq_admit", "SystemExit"), "its hooks cannot be read: SystemExit"),
    ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ("raise SystemExit", "SystemExit"),
    ("def (", "SyntaxError: invalid syntax"),
    ("", "it implements no hook"),
    (
        "import trizmq\n@trizmq.hookimpl\ndef trizmq_rutes(): pass",
        "unknown hook 'trizmq_rutes'",
    ),
    (
        "import trizmq\n@trizmq.hookimpl\ndef trizmq_precondition(request): pass",
        "Argument(s) {'request'} are declared in the hookimpl but can not be found",
    ),
    (
        "def trizmq_register_routes(): pass",
        "trizmq_register_routes lacks its mark, @trizmq.hookimpl",
    ),
    (
        "import trizmq\n@trizmq.hookimpl(wrapper=True)\ndef trizmq_register_routes():\n    yield",
        "trizmq_register_routes cannot be a hook wrapper",
    ),
    (
        "import trizmq\nr = trizmq.Router()\nr.get('users')(print)",
        "ValueError: pattern 'users' must begin with '/'",
    ),
]


def value_of(source: str) -> str:
    return "bad_module:plugin" if "plugin = " in source else "bad_module"


@pytest.mark.parametrize(("source", "why"), BROKEN)
def test_named_and_broken_stops_with_one_line(install: Install, source: str, why: str) -> None:
    install("bad", source, value=value_of(source))
    install("good")
    with pytest.raises(PluginError) as caught:
        load(["good", "bad"])
    text = str(caught.value)
    assert text.startswith("plugin 'bad' is broken: ")
    assert text.endswith("; installed plugins: bad, good")
    assert why in text
    assert "\n" not in text


@pytest.mark.parametrize(("source", "why"), BROKEN)
def test_merely_installed_and_broken_is_logged_and_left_out(
    install: Install, source: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    install("bad", source, value=value_of(source))
    install("good")
    plugins = load()
    assert names(plugins.loaded) == ["good"]
    (broken,) = plugins.broken
    assert (broken.name, broken.distribution, broken.version) == ("bad", "dist-bad", "1.3")
    assert why in broken.reason
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("trizmq.app", logging.WARNING)
    assert record.getMessage() == f"plugin 'bad' is skipped: {broken.reason}"


def test_installed_returns_the_same_without_logging(
    install: Install, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    install("bad", "1 / 0")
    install("good")
    plugins = installed()
    assert names(plugins.loaded) == ["good"]
    place = f"{tmp_path / 'bad_module.py'}:1"
    why = f"module 'bad_module': ZeroDivisionError: division by zero ({place})"
    assert plugins.broken == (Broken("bad", why, "dist-bad", "1.3"),)
    assert not caplog.records


def test_a_missing_plugin_lists_the_installed_ones(install: Install) -> None:
    with pytest.raises(PluginError, match="no plugin 'x' is installed; installed plugins: none"):
        load(["x"])
    install("a")
    install("b")
    with pytest.raises(PluginError, match="no plugin 'x' is installed; installed plugins: a, b"):
        load(["a", "x"])


def test_a_module_that_is_not_there_or_no_plugin() -> None:
    with pytest.raises(PluginError, match=r"'nowhere.x' is broken: .*ModuleNotFoundError"):
        load([], modules=["nowhere.x"])
    with pytest.raises(PluginError, match="plugin 'json' is broken: it implements no hook"):
        load([], modules=["json"])


def test_an_entry_point_of_no_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("lone", "nowhere", "trizmq")
    monkeypatch.setattr("trizmq.app.plugins.entry_points", lambda group: [entry])
    assert installed().broken[0].distribution is None


def test_plugins_with_given_hooks_keep_their_order(
    make_plugin: Callable[..., ModuleType],
) -> None:
    both = make_plugin("both", on_event=None, admit=None)
    plugins = [
        make_plugin("b", on_event=None),
        make_plugin("none", register_routes=[]),
        both,
        make_plugin("a", admit=None),
    ]
    some = load(plugins).with_hooks("trizmq_admit", "trizmq_on_event")
    assert [plugin.name for plugin in some.loaded] == ["b", "both", "a"]
    assert [plugin.name for plugin in some.elsewhere] == ["none"]


@pytest.mark.parametrize("error", ["OSError", "SystemExit", "AttributeError"])
def test_a_property_that_raises_is_no_fault_unless_it_is_a_hook(
    install: Install, error: str
) -> None:
    install("odd", ODD % ("anything", error), value="odd_module:plugin")
    assert names(load(["odd"]).loaded) == ["odd"]
    assert load(["odd"]).hooks.ask("trizmq_register_routes") == [("odd", [])]


def test_plugins_that_are_equal_are_two(install: Install) -> None:
    class Equal:
        def __init__(self, name: str) -> None:
            self.__name__ = name

        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

        @hookimpl
        def trizmq_register_routes(self) -> list[trizmq.Route]:
            return []

    with pytest.raises(PluginError, match="plugin 'one': "):
        _ = load([Equal("one"), Equal("other")]).hooks


@pytest.mark.parametrize("value", ["a b", "a:b:c", "", "1 / 0", "a_module:"])
def test_an_entry_point_that_is_none(install: Install, tmp_path: Path, value: str) -> None:
    install("good")
    install("a")
    (tmp_path / "dist_a-1.1.dist-info" / "entry_points.txt").write_text(f"[trizmq]\na = {value}\n")
    importlib.invalidate_caches()
    plugins = installed()
    assert "good" in names(plugins.loaded)
    assert len(plugins.loaded) + len(plugins.broken) == 2


def test_a_distribution_that_cannot_be_read_hides_no_other(
    install: Install, tmp_path: Path
) -> None:
    install("good")
    install("bad")
    file = tmp_path / "dist_bad-1.3.dist-info" / "entry_points.txt"
    file.write_text("[trizmq]\nno equals sign\n")
    importlib.invalidate_caches()
    plugins = installed()
    assert names(plugins.loaded) == ["good"]
    (broken,) = plugins.broken
    assert (broken.name, broken.distribution) == ("dist-bad", "dist-bad")
    assert "its entry points cannot be read" in broken.reason


def test_ctrl_c_while_a_plugin_is_imported_is_the_users(install: Install) -> None:
    install("a", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        installed()


def test_where_it_failed(install: Install, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def work():\n    import json\n\n    json.loads('{')\n")
    install("a", "import helper\n\n\nhelper.work()\n")
    with pytest.raises(PluginError) as caught:
        load(["a"])
    mine, theirs = f"{tmp_path}/a_module.py:4", f"{tmp_path}/helper.py:4"
    assert f"column 2 (char 1) ({mine}; {theirs}); installed" in str(caught.value)


def test_where_a_hook_failed(install: Install, tmp_path: Path) -> None:
    install("a", GOOD.replace("return []", "return [][0]"))
    with pytest.raises(PluginError) as caught:
        load(["a"]).hooks.ask("trizmq_register_routes")
    assert str(caught.value) == (
        "plugin 'a': trizmq_register_routes: IndexError: list index out of range "
        f"({tmp_path}/a_module.py:6)"
    )


def test_a_name_is_no_list_of_them() -> None:
    with pytest.raises(PluginError, match="plugins must be a list, not 'users'"):
        load("users")
