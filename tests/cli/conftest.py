"""The command line as users run it: a separate process in a separate directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import pytest
from click.testing import CliRunner

from trizmq.cli import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

TRIZMQ = [sys.executable, "-m", "trizmq"]


@dataclass
class Server:
    """A `trizmq run`, `broker` or `worker` that is ready."""

    process: subprocess.Popen[bytes]
    ready: str
    log: Path

    @property
    def endpoint(self) -> str:
        return next(word for word in self.ready.split() if "://" in word).rstrip(",")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@dataclass
class CommandLine:
    """Runs `trizmq`; ``environment`` is added to an environment without ``TRIZMQ_*``."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def _environment(self) -> dict[str, str]:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("TRIZMQ_")}
        return plain | {"TRIZMQ_STATE_DIR": str(self.directory / "state")} | self.environment

    def __call__(self, *args: str, stdin: bytes = b"") -> Result:
        """Run the command in this process: fast, and included in the coverage."""
        unset = dict.fromkeys(key for key in os.environ if key.startswith("TRIZMQ_"))
        runner = CliRunner(env={**unset, **self._environment})
        with chdir(self.directory):
            return runner.invoke(command_line(), args, input=stdin, catch_exceptions=False)

    def process(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end in a separate process."""
        return subprocess.run(
            [*TRIZMQ, *args],
            capture_output=True,
            check=False,
            cwd=self.directory,
            env=self._environment,
            timeout=20,
        )

    def start(
        self, *args: str, stdout: IO[bytes] | int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """Start the command in a separate process, and leave it running."""
        return subprocess.Popen(
            [*TRIZMQ, *args],
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=self._environment,
        )

    def log(self, command: str = "run") -> bytes:
        """Return the server's output on stderr so far."""
        return (self.directory / f"{command}.log").read_bytes()

    @contextmanager
    def serving(self, *args: str, command: str = "run") -> Iterator[Server]:
        """Run a server on a free port; calls inside the block go to it."""
        with self.running(command, "--bind", "tcp://127.0.0.1:*", *args) as server:
            self.environment["TRIZMQ_CONNECT"] = server.endpoint
            yield server

    @contextmanager
    def running(self, command: str, *args: str) -> Iterator[Server]:
        """Run a command that prints a ready line, for the duration of the block."""
        log = self.directory / f"{command}.log"
        with log.open("wb") as stderr, self._popen([command, *args], stderr) as process:
            try:
                assert process.stdout
                ready = process.stdout.readline().decode()
                assert ready, log.read_text()
                yield Server(process, ready, log)
            finally:
                process.kill()

    def _popen(self, args: list[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*TRIZMQ, *args],
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=self.directory,
            env=self._environment,
            process_group=0,
        )

    def module(self, name: str, source: str) -> None:
        """Write a plugin module for ``-p``: ``python -m`` searches the current directory."""
        (self.directory / f"{name}.py").write_text(source)


class Installer:
    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._monkeypatch = monkeypatch

    def __call__(self, name: str, source: str, *, distribution: str = "") -> None:
        """Put a plugin and the metadata of its distribution where Python finds them."""
        self._monkeypatch.delitem(sys.modules, name, raising=False)
        (self._directory / f"{name}.py").write_text(source)
        distribution = distribution or f"trizmq-{name}"
        info = self._directory / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[trizmq]\n{name} = {name}\n")


@pytest.fixture
def trizmq(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    """Install plugins, from the point of view of importlib."""
    monkeypatch.syspath_prepend(tmp_path)
    return Installer(tmp_path, monkeypatch)
