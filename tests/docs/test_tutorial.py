"""The tutorial and the how-to guides: every file is written, and every command is run.

The output of a command is compared with the page, ignoring blanks and line ends (a terminal has
more of them than a pipe); three dots match any text.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Block, Page, Server, Terminal


@pytest.mark.slow
def test_every_step_of_the_tutorial(page, terminal: Terminal) -> None:
    Reader(terminal).read(page("docs/tutorial.md"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "answer-later",
        "broker-hooks",
        "call-from-other-languages",
        "configure-a-plugin",
        "deploy",
        "foreign-brokers",
        "measure-a-service",
        "run-several-workers",
        "use-several-endpoints",
    ],
)
def test_every_step_of_a_how_to_guide(page, terminal: Terminal, name: str) -> None:
    """Run in the environment of the tests: how-to guides assume that trizmq is installed."""
    terminal.run(f"export PATH={Path(sys.executable).parent}:$PATH; mkdir ../here; cd ../here")
    how_to = page(f"docs/howto/{name}.md")
    # A tunnel between two machines is replaced by this machine.
    Reader(terminal).read(replace(how_to, text=how_to.text.replace("10.8.0.1", "127.0.0.1")))


class Reader:
    """A reader who follows the page: a new server replaces the previous ones.

    A worker does not; it runs next to its broker.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._servers: list[Server] = []

    def read(self, page: Page) -> None:
        for block in page.blocks:
            if block.caption:
                self.write(block.caption, block.text)
            elif block.language == "console":
                self.follow(block)
            else:
                assert block.language == "sh"  # for root, or for another machine
        self.stop_servers()

    def write(self, caption: str, text: str) -> None:
        """Write the file that the caption names, or append to it."""
        name, _, addition = caption.partition(", ")
        assert addition in ("", "continued")
        with (self._directory / name).open("a" if addition else "w") as file:
            file.write(f"\n\n{text}" if addition else text)

    @property
    def _directory(self) -> Path:
        return Path(self._terminal.run("pwd").strip())

    def follow(self, block: Block) -> None:
        for command, shown in commands_of(block):
            if command.startswith(("trizmq run", "trizmq broker")) and not is_failure(shown):
                self.stop_servers()
                self._serve(command, shown)
            elif command.startswith("trizmq worker"):
                self._serve(command, shown)
            elif command.endswith(" &"):
                self._terminal.start(command)
            else:
                self._run(command, shown)

    def _serve(self, command: str, shown: str) -> None:
        server = self._terminal.serve(command)
        self._servers.append(server)
        assert server.ready.strip() == shown.strip()

    def _run(self, command: str, shown: str) -> None:
        code, written = self._terminal.enter(command)
        assert bool(code) == is_failure(shown), f"{command}: exit code {code}. {written}"
        assert not shown or matches(shown, written), f"{command}: {written}"

    def stop_servers(self) -> None:
        while self._servers:
            assert self._servers.pop().stop() == 0


def commands_of(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command with its expected output."""
    before, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not before
    for part in parts:
        command, _, shown = part.partition("\n")
        yield command, shown


def is_failure(shown: str) -> bool:
    return "\ntrizmq: " in f"\n{shown}"


def matches(shown: str, written: str) -> bool:
    pattern = ".*".join(map(re.escape, "".join(shown.split()).split("...")))
    return re.fullmatch(pattern, "".join(written.split())) is not None
