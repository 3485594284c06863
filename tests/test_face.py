"""The public names: `trizmq` declares each twice, for type checkers and for the first use."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Unpack, assert_type, get_type_hints

import pytest

import trizmq

ROOT = Path(__file__).parents[1]
DOCUMENTED = re.compile(
    r"^\.\. (?:auto|py:)(?:class|data|exception|function):: (\w+)", re.MULTILINE
)


def names_for_type_checkers() -> dict[str, str]:
    """Return the public names that type checkers see, each with its module."""
    tree = ast.parse(Path(trizmq.__file__).read_text("utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    (block,) = [node for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING"]
    names: dict[str, str] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name  # only then is it re-exported
            assert alias.name not in names
            names[alias.name] = node.module or ""
    return names


def test_the_lazy_list_and_the_typing_list_agree() -> None:
    assert names_for_type_checkers() == {**trizmq._ROOM_OF, "testing": ""}


def test_each_name_is_public_where_it_is_defined() -> None:
    for name, room in trizmq._ROOM_OF.items():
        module = import_module(f"trizmq.{room}")
        assert name in module.__all__
        assert getattr(trizmq, name) is getattr(module, name)


def test_dir_and_all_agree_and_each_name_can_be_imported() -> None:
    assert dir(trizmq) == trizmq.__all__ == sorted({*trizmq._ROOM_OF, "__version__", "testing"})
    for name in trizmq.__all__:
        assert getattr(trizmq, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        trizmq.nothing  # noqa: B018


def test_each_name_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
    assert set(trizmq.__all__) - {"testing"} <= set(DOCUMENTED.findall(page))


def test_importing_the_package_imports_no_other_module_of_it() -> None:
    code = "import sys, trizmq; print(*[m for m in sys.modules if m.startswith('trizmq.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_tree_of_errors() -> None:
    without = {trizmq.Unreachable, trizmq.DeadlineExceeded, trizmq.Overloaded}
    assert set(trizmq.CallError.__subclasses__()) == {trizmq.NoResponseError, trizmq.ResponseError}
    assert set(trizmq.NoResponseError.__subclasses__()) == without
    for kind in without:
        assert kind("why", executed="no").executed == "no"
    response = trizmq.problem(503, executed="no")
    with pytest.raises(trizmq.CallError) as caught:
        response.raise_for_status()
    assert caught.value.executed == "no"
    assert isinstance(caught.value, trizmq.ResponseError)
    assert caught.value.response is response


# What users write; mypy checks this file.


def guard(request: trizmq.Request) -> trizmq.Response | None:
    return None


async def guard_with_a_resource(request: trizmq.Request, names: list[str]) -> None:
    return None


def guards() -> list[trizmq.Precondition]:
    return [guard, guard_with_a_resource]


async def get(client: trizmq.Client, **details: Unpack[trizmq.Details]) -> trizmq.Response:
    return await client.get("/users", **details)


def get_now(client: trizmq.SyncClient, **details: Unpack[trizmq.SyncDetails]) -> trizmq.Response:
    return client.get("/users", **details)


def read(response: trizmq.Response) -> str:
    match response:
        case trizmq.Response(status, headers, body):
            assert_type(status, int)
            assert_type(headers, trizmq.Headers)
            assert_type(body, bytes)
    try:
        assert_type(response.raise_for_status().json(), Any)
    except trizmq.CallError as error:
        assert_type(error.executed, Literal["no", "maybe"])
        return error.executed
    return ""


def test_public_types_can_be_used_in_annotations_that_are_evaluated() -> None:
    for function in (guards, get, get_now, read):
        assert get_type_hints(function)
    assert guards() == [guard, guard_with_a_resource]
    assert read(trizmq.Response(503, json={"why": "so"})) == "maybe"
    assert read(trizmq.Response(201, json={"why": "so"})) == ""
