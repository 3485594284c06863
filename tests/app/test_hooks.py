"""Hooks are called in the order of the plugins, with the arguments that they declare."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import trizmq
from trizmq import PluginError
from trizmq.app import hookspecs
from trizmq.app.hooks import Hooks, check_hooks
from trizmq.app.hookspecs import HOOKS_VERSION

Make = Callable[..., ModuleType]


def hooks_of(*plugins: ModuleType) -> Hooks:
    return Hooks((plugin.__name__, plugin) for plugin in plugins)


def test_in_the_order_of_the_plugins_without_nones(make_plugin: Make) -> None:
    plugins = [make_plugin(name, register_routes=[name]) for name in "bca"]
    silent = make_plugin("silent", register_routes=None)
    answers = hooks_of(silent, *plugins).ask("trizmq_register_routes")
    assert answers == [("b", ["b"]), ("c", ["c"]), ("a", ["a"])]


def test_tryfirst_and_trylast_have_their_way(make_plugin: Make) -> None:
    plugins = [make_plugin(name, register_routes=[]) for name in "abc"]
    plugins[0].trizmq_register_routes = trizmq.hookimpl(trylast=True)(lambda: "last")  # type: ignore[attr-defined]  # a module
    plugins[2].trizmq_register_routes = trizmq.hookimpl(tryfirst=True)(lambda: "first")  # type: ignore[attr-defined]  # a module
    answers = hooks_of(*plugins).ask("trizmq_register_routes")
    assert [name for name, _ in answers] == ["c", "b", "a"]


def test_each_is_given_the_arguments_it_names(make_plugin: Make) -> None:
    both = make_plugin("both", lifespan=lambda config, state_dir: [config, state_dir])
    one = make_plugin("one", lifespan=lambda config: [config])
    none = make_plugin("none", lifespan=lambda: ["none"])
    hooks = hooks_of(both, one, none)
    answers = hooks.ask("trizmq_lifespan", state_dir="s", config="c")
    assert answers == [("both", ["c", "s"]), ("one", ["c"]), ("none", ["none"])]
    wanting = [found.plugin for found in hooks.of("trizmq_lifespan") if found.wants("state_dir")]
    assert wanting == ["both"]


def test_an_exception_in_a_hook_names_plugin_and_hook(make_plugin: Make) -> None:
    def fail() -> None:
        raise ValueError("so\nit is")

    with pytest.raises(PluginError) as caught:
        hooks_of(make_plugin("p", register_routes=fail)).ask("trizmq_register_routes")
    why = "plugin 'p': trizmq_register_routes: ValueError: so it is"
    assert str(caught.value) == f"{why} ({__file__}:{fail.__code__.co_firstlineno + 1})"


def specs() -> dict[str, Callable[..., Any]]:
    members = inspect.getmembers(hookspecs, inspect.isfunction)
    return {name: function for name, function in members if name.startswith("trizmq_")}


def test_the_hooks_are_these() -> None:
    assert {name: [*inspect.signature(spec).parameters] for name, spec in specs().items()} == {
        "trizmq_admit": ["call"],
        "trizmq_admit_reply": ["call", "response"],
        "trizmq_config": [],
        "trizmq_lifespan": ["state_dir", "config"],
        "trizmq_on_event": ["event"],
        "trizmq_precondition": ["route"],
        "trizmq_register_commands": ["cli"],
        "trizmq_register_routes": [],
    }


@pytest.mark.parametrize("name", specs())
def test_a_hookspec_has_a_docstring_and_no_body(name: str) -> None:
    spec = specs()[name]
    assert name in hookspecs.__all__
    assert (inspect.getdoc(spec) or "").count("\n") > 1
    with pytest.raises(NotImplementedError):
        spec(*inspect.signature(spec).parameters)


@pytest.mark.parametrize("version", [None, 1, HOOKS_VERSION])
def test_a_plugin_made_for_these_hooks_or_older_ones_is_loaded(
    make_plugin: Make, version: int | None
) -> None:
    plugin = make_plugin("p", register_routes=[])
    plugin.trizmq_hooks = version  # type: ignore[attr-defined]
    check_hooks("p", plugin)


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (
            HOOKS_VERSION + 1,
            f"it needs version {HOOKS_VERSION + 1} of the hooks, and this trizmq has "
            f"{HOOKS_VERSION}: install a newer trizmq",
        ),
        ("2", f"trizmq_hooks is a version, such as {HOOKS_VERSION}, not '2'"),
    ],
)
def test_a_plugin_made_for_newer_hooks_is_refused_with_one_line(
    make_plugin: Make, version: Any, reason: str
) -> None:
    plugin = make_plugin("p", an_unknown_hook=None)
    plugin.trizmq_hooks = version  # type: ignore[attr-defined]
    with pytest.raises(PluginError) as caught:
        check_hooks("p", plugin)
    assert str(caught.value) == reason


def test_the_page_names_the_version_of_the_hooks() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "hooks.md"
    assert f"The hooks on this page are version {HOOKS_VERSION}." in page.read_text("utf-8")
