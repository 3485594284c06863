"""Brokers, workers and callers as processes, which can be killed, stopped and restarted."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

__all__ = ["TRIZMQ", "Fleet", "Loss", "free_port", "wait_until"]

PROGRAMS: Final = Path(__file__).parent / "programs"

TRIZMQ: Final = (sys.executable, "-m", "trizmq")
SERVICE: Final = ("--plugins=", "-p", "service")


@final
class Fleet:
    """Named processes, and the times when each was lost.

    Args:
      folder: for logs, the handlers' executions and the caller's outcomes.
      hosts: by the name of a process, the command that runs another command on its host.

    """

    def __init__(self, folder: Path, hosts: dict[str, Sequence[str]] | None = None) -> None:
        self.executions = folder / "executions"
        self.outcomes = folder / "outcomes"
        self.losses: list[Loss] = []
        self._folder = folder
        self._hosts = hosts or {}
        self._commands: dict[str, tuple[str, ...]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.executions.touch()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()

    def serve(self, name: str, *options: str) -> None:
        """Start everything in one process."""
        self.start(name, *TRIZMQ, "run", *SERVICE, *options)

    def broker(self, name: str, *options: str) -> None:
        """Start a broker."""
        self.start(name, *TRIZMQ, "broker", "--plugins=", *options)

    def worker(self, name: str, *options: str) -> None:
        """Start a worker."""
        self.start(name, *TRIZMQ, "worker", *SERVICE, *options)

    def call(self, connect: str, *, rate: float, seconds: float, deadline: float = 20) -> None:
        """Start a caller, and wait until its first call has a response."""
        numbers = map(str, (rate, seconds, deadline))
        self.start("caller", sys.executable, "-m", "caller", connect, *numbers)
        wait_until(lambda: b"ready" in self._log("caller").read_bytes())

    def start(self, name: str, *command: str) -> None:
        """Start one of the test's own processes."""
        self._commands[name] = (*self._hosts.get(name, ()), *command)
        self.restart(name)

    def restart(self, name: str) -> None:
        """Restart the process that had this name before."""
        with self._log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._commands[name],
                cwd=PROGRAMS,
                env={
                    **{key: text for key, text in os.environ.items() if "TRIZMQ" not in key},
                    "SOAK_LOG": str(self.executions),
                    "SOAK_OUTCOMES": str(self.outcomes),
                    "TRIZMQ_STATE_DIR": str(self._folder / f"{name}-state"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def pid(self, name: str) -> int:
        """Return the process id of ``name``."""
        return self._running[name].pid

    def kill(self, name: str) -> None:
        """End ``name`` with SIGKILL."""
        with self.lost(name):
            self._running[name].kill()
            self._running[name].wait()

    @contextmanager
    def lost(self, name: str, *, aftermath: float = 0) -> Iterator[None]:
        """Record that other processes may consider ``name`` lost during this block.

        ``aftermath``: seconds after the block in which delayed messages are still delivered.
        """
        pid, began = self.pid(name), time.monotonic()
        yield
        self.losses.append(Loss(name, pid, began, time.monotonic() + aftermath))

    def stop(self, name: str) -> None:
        """Suspend ``name``."""
        os.kill(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Resume ``name``."""
        os.kill(self.pid(name), signal.SIGCONT)

    def wait(self, name: str, seconds: float) -> int:
        """Wait until ``name`` has ended; return its exit code."""
        return self._running[name].wait(seconds)

    def has_ended(self, name: str) -> bool:
        """Return whether ``name`` has ended by itself."""
        return self._running[name].poll() is not None

    def memory(self, name: str) -> float:
        """Return the memory of ``name``, in MiB."""
        for line in Path(f"/proc/{self.pid(name)}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0


@final
@dataclass(frozen=True)
class Loss:
    """The time in which a process was killed, stopped or cut off."""

    name: str
    pid: int
    began: float
    ended: float


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until ``condition`` holds; raises TimeoutError if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port
