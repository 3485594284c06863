"""CONTRIBUTING.md names each nox session, and only files that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def decorators(function: ast.FunctionDef) -> list[str]:
    return [ast.unparse(node) for node in function.decorator_list]


def test_every_session(page) -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    sessions = {it.name for it in functions if "session" in " ".join(decorators(it))}
    rows = page("CONTRIBUTING.md").section("Sessions").rows
    assert set(rows) - {"session"} == sessions


def test_every_path_exists(page) -> None:
    text = page("CONTRIBUTING.md").text
    paths = re.findall(r"`((?:trizmq|tests|plugins|docs)/[\w/.*]*)`", text)
    assert len(paths) > 20
    assert [path for path in paths if not any(ROOT.glob(path.rstrip("/")))] == []


def test_every_package_and_its_drivers(page) -> None:
    rows = page("CONTRIBUTING.md").section("Where things are").rows
    packages = {f"trizmq/{path.parent.name}/" for path in ROOT.glob("trizmq/*/__init__.py")}
    assert packages < set(rows)
    for where, (_, *drivers) in rows.items():
        for name in re.findall(r"`(\w+\.py)`", "".join(drivers)):
            assert (ROOT / where.replace("*.py", "") / name).exists(), (where, name)
