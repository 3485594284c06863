"""The sources keep to their bounds: of files, functions, parameters and imports."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import trizmq

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(trizmq.__file__).parent

MOST_LINES: Final = 320  # of a file
MOST_LINES_OF_FUNCTION: Final = 50  # without its docstring
MOST_PARAMETERS: Final = 7

#: A record of slots, and a command, whose parameters are its options.
EXCEPTIONS: Final = {"client/links.py: __init__", "cli/call.py: call"}

#: Keywords that nobody can list: arguments of any hook, and members of a problem document.
OPEN: Final = {
    "app/hooks.py: ask",
    "messages.py: problem",
    "pytest_plugin.py: open_one",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> dict[str, ast.Module]:
    """Read all modules, by their names."""
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(ROOT.rglob("*.py"))
    }


def functions() -> Iterator[tuple[str, Function]]:
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{path}: {node.name}", node


def parameters(function: Function) -> list[str]:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    several = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [each.arg for each in [*named, *several] if each.arg not in ("self", "cls")]


def lines_of(node: Function | ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def length(function: Function) -> int:
    """Count the lines of a function without its decorators and its docstring."""
    docstring = function.body[:1] if ast.get_docstring(function) else []
    return lines_of(function) - sum(map(lines_of, docstring))


def imports(node: ast.AST, package: str) -> Iterator[str]:
    """Find all that is imported at the top of a module, be it for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - child.level]
            base = [*(above if child.level else []), *([child.module] if child.module else [])]
            yield from (".".join([*base, alias.name]) for alias in child.names)
        elif not isinstance(child, Function):
            yield from imports(child, package)


def import_graph() -> dict[str, set[str]]:
    """Say which of our modules each of them imports."""
    names = {path: "trizmq." + path.removesuffix(".py").replace("/", ".") for path in sources()}
    modules = {name.removesuffix(".__init__") for name in names.values()}
    graph: dict[str, set[str]] = {}
    for path, tree in sources().items():
        package = names[path].rpartition(".")[0]
        found = set(imports(tree, package))
        # `from package import module`, or a name in a module.
        found = {it if it in modules else it.rpartition(".")[0] for it in found}
        name = names[path].removesuffix(".__init__")
        graph[name] = (found & modules) - {name}
    return graph


def test_no_file_is_too_long() -> None:
    paths = ROOT.rglob("*.py")
    long = [path for path in paths if path.read_text("utf-8").count("\n") > MOST_LINES]
    assert long == []


def test_no_function_is_too_long() -> None:
    long = {name for name, function in functions() if length(function) > MOST_LINES_OF_FUNCTION}
    assert long == set()


def test_no_circle_of_imports() -> None:
    graph = import_graph()
    assert "trizmq.broker.engine" in graph["trizmq.broker.loop"]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


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
