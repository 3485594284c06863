"""Functions have few parameters, and say which."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trizmq

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(trizmq.__file__).parent

MOST_PARAMETERS: Final = 7

#: Engines whose parts are handed to them, and a record of slots.
EXCEPTIONS: Final = {"broker/sessions.py: __init__", "client/links.py: __init__"}

#: Keywords that nobody can list: arguments of any hook, and members of a problem document.
OPEN: Final = {
    "app/hooks.py: ask",
    "messages.py: problem",
    "pytest_plugin.py: open_one",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, Function):
                yield f"{path.relative_to(ROOT).as_posix()}: {node.name}", node


def parameters(function: Function) -> list[str]:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    several = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [each.arg for each in [*named, *several] if each.arg not in ("self", "cls")]


def test_no_function_has_more_than_seven_parameters() -> None:
    long = {name for name, function in functions() if len(parameters(function)) > MOST_PARAMETERS}
    assert long == EXCEPTIONS


def test_keywords_are_typed() -> None:
    found = set()
    for name, function in functions():
        kwarg = function.args.kwarg
        if kwarg and kwarg.annotation and ast.unparse(kwarg.annotation) in ("Any", "object"):
            found.add(name)
    assert found == OPEN
