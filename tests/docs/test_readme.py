"""The README, block by block, as a reader with a new clone follows it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Block, Terminal

AUGUST, ADA = {"id": 1, "name": "August"}, {"id": 2, "name": "Ada"}


@pytest.mark.slow
def test_every_block_of_the_readme(page, terminal: Terminal) -> None:
    start, calls, tests, token, *clients, plugin, serve, call, plugin_test = page(
        "README.md"
    ).blocks

    server = terminal.serve(start.text)
    assert server.ready == "trizmq ready on tcp://127.0.0.1:5555\n"
    assert "August" in terminal.run(calls.text)

    terminal.run(token.text)
    assert [printed_by(terminal, client) for client in clients] == [
        f"200 {AUGUST}",
        f"{[AUGUST, ADA]}",
        f"{ {'status': 200, 'body': [AUGUST, ADA]} }",
    ]

    (terminal.directory / "hello.py").write_text(plugin.text)
    second = terminal.serve(serve.text)
    assert second.ready == "trizmq ready on tcp://127.0.0.1:5556\n"
    assert terminal.run(call.text).strip() == '{"text":"Hello, Ada!"}'

    (terminal.directory / "test_hello.py").write_text(plugin_test.text)
    assert "1 passed" in terminal.run(f"{sys.executable} -m pytest -q test_hello.py")

    assert [server.stop(), second.stop()] == [0, 0]
    # Running it here would run this test inside itself; CI runs it.
    assert tests.text.strip() in (terminal.directory / ".ci/run").read_text()


def printed_by(terminal: Terminal, client: Block) -> str:
    """Run a program outside the checkout, where only installed packages are found."""
    (terminal.directory.parent / "client.py").write_text(client.text)
    return terminal.run(".venv/bin/python ../client.py").strip()
