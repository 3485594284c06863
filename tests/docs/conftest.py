"""The environment of a reader: the pages, a fresh checkout, and a terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO, TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

#: Seconds that one terminal may be used: a hanging command fails its test. Installing compiles.
PATIENCE = 400

READY = re.compile(r"trizmq (\w+ )?ready ?")

#: Printed by the shell after each command, with its exit code.
END = "-- the end --"

FENCE = re.compile(
    r"^```(?:\{code-block\} )?(?P<language>\w+)\n"
    r"(?::caption: (?P<caption>[^\n]+)\n\n)?(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block of a page; ``caption`` is the name of the file that it shows, if any."""

    language: str
    caption: str | None
    text: str


@dataclass(frozen=True)
class Page:
    text: str

    @property
    def blocks(self) -> list[Block]:
        return [Block(**found.groupdict()) for found in FENCE.finditer(self.text)]

    def section(self, heading: str) -> Page:
        """Return the text under ``heading``, up to the next heading."""
        _, found, rest = self.text.partition(f"# {heading}\n")
        assert found, f"there is no heading {heading!r}"
        return Page(re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0])

    @property
    def rows(self) -> dict[str, list[str]]:
        """The rows of all tables, without the bars, by the content of their first column."""
        lines = [line.strip("| ") for line in self.text.splitlines() if line.startswith("| ")]
        lines = [line for line in lines if not line.startswith("---")]
        cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
        return {first.strip("`"): others for first, *others in cells}


class Server:
    """A `trizmq run`, `broker` or `worker` that is ready, in a separate terminal."""

    def __init__(self, terminal: Terminal, pid: int, output: IO[str]) -> None:
        self._terminal, self._pid, self._output = terminal, pid, output
        lines = iter(output.readline, "")
        self.ready = next(filter(READY.match, lines), "")

    def stop(self) -> int:
        """Stop it like Ctrl-C or a supervisor; return the exit code."""
        os.killpg(self._pid, signal.SIGTERM)
        return self._terminal.enter(f"wait {self._pid}")[0]

    def kill(self) -> None:
        self._output.close()
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)


class Terminal:
    """A shell in ``directory``, without any trizmq variables, and with its own state."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._log = directory.parent / "log"
        self._servers: list[Server] = []
        self._jobs: list[int] = []
        plain = {name: value for name, value in os.environ.items() if not is_ours(name)}
        self._shell = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=plain | {"XDG_STATE_HOME": str(directory.parent / "state")},
            text=True,
        )
        self.enter("set -m")  # a process group for each server, so that it can be signaled

    def enter(self, command: str) -> tuple[int, str]:
        """Run ``command``; return its exit code and its output."""
        assert self._shell.stdin
        assert self._shell.stdout
        # After this, the next command sees the same `$?` as before.
        after = f'code=$?; echo; echo "{END}" $code; (exit $code)'
        self._shell.stdin.write(f"{{ {command}\n}} </dev/null; {after}\n")
        self._shell.stdin.flush()
        written: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(END):
                return int(line.removeprefix(END)), "".join(written)
            written.append(line)
        raise AssertionError(f"{command}: the terminal was closed. {''.join(written)}")

    def run(self, command: str) -> str:
        """Run a command that must succeed; return its output."""
        code, written = self.enter(command)
        assert code == 0, f"{command}: exit code {code}. {written}"
        return written

    def serve(self, command: str) -> Server:
        """Run a command that ends in a server, and wait until it is ready."""
        output = self.directory.parent / f"output-{len(self._servers)}"
        os.mkfifo(output)
        # Without the trap, the shell would end at the signal and hide the server's exit code.
        job = f"trap : TERM; {command}\n"
        self.enter(f"{{ {job} }} >{output} 2>>{self._log} &")
        pid = int(self.run("echo $!"))
        server = Server(self, pid, output.open())
        self._servers.append(server)
        assert server.ready, self._log.read_text()
        return server

    def start(self, command: str) -> None:
        """Run a command in the background, at most until the terminal is closed."""
        self.enter(f"{command.removesuffix('&')} >>{self._log} 2>&1 &")
        self._jobs.append(int(self.run("echo $!")))

    def close(self) -> None:
        for server in self._servers:
            server.kill()
        for pid in self._jobs:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self._shell.kill()
        self._shell.communicate()


def is_ours(variable: str) -> bool:
    return variable.startswith(("TRIZMQ_", "VIRTUAL_ENV", "PYTHON"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of this checkout like a new clone, including uncommitted changes."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True, text=True)
    copy = tmp_path / "trizmq"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # it may have been deleted
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


@pytest.fixture
def terminal(checkout: Path) -> Iterator[Terminal]:
    """Return a terminal in a fresh checkout; its processes end with the test."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 5555)) == 0:
            pytest.fail("port 5555 is in use, and the documentation says 5555: free it")
    terminal = Terminal(checkout)
    watchdog = Timer(PATIENCE, terminal.close)
    watchdog.start()
    try:
        yield terminal
    finally:
        watchdog.cancel()
        terminal.close()


@pytest.fixture
def page():
    """Return a function that reads a page: ``page("docs/tutorial.md")``."""
    return lambda name: Page((ROOT / name).read_text("utf-8"))
