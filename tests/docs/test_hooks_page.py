"""Each hook has a section on the hooks page, a working example, and a test."""

from __future__ import annotations

import inspect
import re
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import trio

import trizmq
from trizmq.app import hookspecs
from trizmq.app.plugins import load
from trizmq.testing import open_app

HOOKS = [name for name in hookspecs.__all__ if name.startswith("trizmq_")]
TESTS = Path(__file__).parents[1]


def signature(name: str) -> inspect.Signature:
    return inspect.signature(getattr(hookspecs, name))


@pytest.fixture
def section(page, name: str):
    """The section of the hook, under a heading with its arguments."""
    arguments = ", ".join(signature(name).parameters)
    return page("docs/reference/hooks.md").section(f"`{name}({arguments})`")


@pytest.mark.parametrize("name", HOOKS)
def test_the_page_has_the_signature_and_the_time_of_each_hook(section, name: str) -> None:
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


@pytest.mark.parametrize("name", ["trizmq_lifespan"])
async def test_the_lifespan_of_the_page_runs_to_its_end(section, tmp_path: Path) -> None:
    (block,) = section.blocks
    module = ModuleType("example")
    exec(compile(block.text, "example", "exec"), vars(module))
    file = tmp_path / "words.txt"
    file.write_text("some words")
    async with open_app(plugins=[module], state_dir=tmp_path) as client:
        assert (await client.get("/words")).json() == ["some", "words"]
        assert file.read_text() == "some words"
    assert file.read_text() == "some\nwords"
    file.write_text("other words")
    async with trio.open_nursery() as nursery:
        serving = partial(trizmq.serve, plugins=[module], state_dir=tmp_path)
        await nursery.start(partial(serving, bind="tcp://127.0.0.1:*"))
        nursery.cancel_scope.cancel()
    assert file.read_text() == "other\nwords"


@pytest.mark.parametrize("name", HOOKS)
def test_some_test_implements_it(name: str) -> None:
    """Under its own name, or as a keyword of the fixture `make_plugin`."""
    implemented = re.compile(rf"def {name}\(|\b{name.removeprefix('trizmq_')}=")
    files = [*TESTS.glob("app/test_*.py"), *TESTS.glob("cli/test_*.py")]
    assert any(implemented.search(file.read_text("utf-8")) for file in files)
