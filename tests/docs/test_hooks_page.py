"""Each hook has its place on the hooks page, an example that works, and a test."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from trizmq.app import hookspecs
from trizmq.app.plugins import load

HOOKS = [name for name in hookspecs.__all__ if name.startswith("trizmq_")]
TESTS = Path(__file__).parents[1]


def signature(name: str) -> inspect.Signature:
    return inspect.signature(getattr(hookspecs, name))


@pytest.fixture
def section(page, name: str):
    """What the page says of the hook, under a heading with its arguments."""
    arguments = ", ".join(signature(name).parameters)
    return page("docs/reference/hooks.md").section(f"`{name}({arguments})`")


@pytest.mark.parametrize("name", HOOKS)
def test_the_page_says_what_it_takes_and_when(section, name: str) -> None:
    without_quotes = str(signature(name)).replace("'", "")
    assert f"\nSignature: `{without_quotes}`" in section.text
    assert "\nWhen: " in section.text


@pytest.mark.parametrize("name", HOOKS)
def test_its_example_is_a_plugin(section, name: str) -> None:
    (block,) = section.blocks
    module = ModuleType("example")
    exec(compile(block.text, name, "exec"), vars(module))
    implementations = load([module]).hooks.of(name)
    assert [found.plugin for found in implementations] == ["example"]


@pytest.mark.parametrize("name", HOOKS)
def test_some_test_implements_it(name: str) -> None:
    """By its name, or as a keyword of the fixture `make_plugin`."""
    implemented = re.compile(rf"def {name}\(|\b{name.removeprefix('trizmq_')}=")
    files = [*TESTS.glob("app/test_*.py"), *TESTS.glob("cli/test_*.py")]
    assert any(implemented.search(file.read_text("utf-8")) for file in files)
