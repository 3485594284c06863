"""A child process that reads and writes lines, and its costs."""

from __future__ import annotations

import os
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import IO, TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Died", "Process", "plain_environment"]

#: Seconds that a child has to end by itself.
GRACE: Final = 5.0

SIZES: Final = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


class Died(Exception):
    """A child ended, or was killed because it was silent; contains its last line."""


@final
class Process:
    """A child process, and its descendants. Linux only: this reads `/proc`.

    Args:
      command: the command to run.
      directory: its working directory, in which modules are found.
      environment: its whole environment.
      log: the file for its stderr.

    """

    def __init__(
        self, command: Sequence[str], directory: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._child = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the child itself."""
        return self._child.pid

    def ask(self, line: str, seconds: float) -> str:
        """Write a line and return the response; raises like `read`."""
        try:
            _open(self._child.stdin).write(line + "\n")
            _open(self._child.stdin).flush()
        except BrokenPipeError:
            raise Died(self._last_words()) from None
        return self.read(seconds)

    def read(self, seconds: float) -> str:
        """Return the next line; raises `Died` if there is none in time, or the child has ended."""
        watchdog = Timer(seconds, self._child.kill)
        watchdog.start()
        try:
            line = _open(self._child.stdout).readline()
        finally:
            watchdog.cancel()
        if not line:
            raise Died(self._last_words())
        return line

    def _last_words(self) -> str:
        self._child.wait()
        said = self._log.read_text(errors="replace").strip().splitlines()
        return said[-1] if said else f"exit code {self._child.returncode}, without a word"

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far, including that of descendants."""
        return sum(map(_cpu_seconds, _tree(self._child.pid)))

    def memory(self) -> tuple[int, int]:
        """Return the current and the peak memory in KiB, including that of descendants."""
        sizes = [_memory(pid) for pid in _tree(self._child.pid)]
        return sum(now for now, _ in sizes), sum(peak for _, peak in sizes)

    def stop(self) -> None:
        """Terminate the child, and kill it if it does not end."""
        self._child.terminate()
        try:
            self._child.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        _open(self._child.stdout).close()
        with suppress(BrokenPipeError):  # it died before it read the line
            _open(self._child.stdin).close()


def _open(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _tree(pid: int) -> list[int]:
    """Return ``pid`` and its descendants."""
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in _read(task).split()
    ]
    return [pid, *(each for child in children for each in _tree(child))]


def _cpu_seconds(pid: int) -> float:
    # clock_getcpuclockid(3), which Python does not have: `make_process_cpuclock` of Linux,
    # with CPUCLOCK_SCHED. /proc/PID/stat counts in hundredths of a second.
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0  # it has just ended


def _memory(pid: int) -> tuple[int, int]:
    status = dict(SIZES.findall(_read(Path(f"/proc/{pid}/status"))))
    return int(status.get("VmRSS", 0)), int(status.get("VmHWM", 0))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has just ended


def plain_environment() -> dict[str, str]:
    """Return this process's environment without any settings of trizmq."""
    return {key: value for key, value in os.environ.items() if not key.startswith("TRIZMQ_")}
