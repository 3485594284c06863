"""Threads that end a process with its parent, and that detect a stuck loop."""

from __future__ import annotations

import logging
import os
import signal
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import trio

from .children import SUPERVISED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["Watchdog", "end_with_parent"]

LOGGER = logging.getLogger("trizmq.watchdog")

#: The number of checks for a round of the loop within the patience of the watchdog.
LOOKS: Final = 4

#: Code that is not responsible: it only runs other code, or waits.
_TRIO: Final = f"{Path(trio.__file__).parent}{os.sep}"
_STANDARD: Final = f"{sysconfig.get_path('stdlib')}{os.sep}"
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def end_with_parent() -> bool:
    """End this process immediately when its supervisor has ended, for any reason.

    Returns:
      Whether there is a supervisor. If not, nothing is done.

    """
    # Removed, because the processes that this one starts have no supervisor.
    lifeline = os.environ.pop(SUPERVISED, "")
    if not lifeline.isdecimal():
        return False
    descriptor = int(lifeline)
    os.set_inheritable(descriptor, False)
    if sys.platform == "linux":
        _let_the_kernel_kill_us(descriptor)
    threading.Thread(
        target=_end_at_eof, args=[descriptor], name="trizmq parent", daemon=True
    ).start()
    return True


def _let_the_kernel_kill_us(lifeline: int) -> None:
    import fcntl  # POSIX only, and this module is not

    # A thread needs the GIL, which a handler may hold for a long time (in a regular expression,
    # for example), and it does not run while the process is stopped. Therefore the kernel sends a
    # signal when the pipe becomes readable, which happens only at its end: no one writes to it.
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _end_at_eof(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


@final
class Watchdog:
    """Detects that the Trio loop is stuck, and logs the place, and when it has recovered.

    Args:
      patience: seconds without a round of the loop that are acceptable.

    """

    def __init__(self, *, patience: float = 2.0) -> None:
        self._patience = patience
        self._period = patience / LOOKS
        self._seen = 0.0
        self._over = threading.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch this loop until cancelled, from a thread, because the loop may be stuck."""
        self._seen = time.monotonic()
        watched = threading.get_ident(), trio.lowlevel.current_root_task()
        threading.Thread(
            target=self._watch, args=watched, name="trizmq watchdog", daemon=True
        ).start()
        task_status.started()
        try:
            while True:
                await trio.sleep(self._period)
                self._seen = time.monotonic()
        finally:
            self._over.set()

    def _watch(self, thread: int, root: trio.lowlevel.Task | None) -> None:
        stuck_since = 0.0
        while not self._over.wait(self._period):
            seen = self._seen
            seconds = time.monotonic() - seen
            if stuck_since and seen != stuck_since:
                LOGGER.warning("no longer stuck, after %.1f s", seen - stuck_since)
                stuck_since = 0.0
            elif not stuck_since and seconds > self._patience:
                stuck_since = seen
                LOGGER.error("stuck for %.1f s: %s", seconds, _whereabouts(thread, root))


@dataclass(frozen=True, slots=True)
class Place:
    """A line of code, and the task that is running it."""

    file: str
    line: int
    function: str
    task: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, in {self.function}; task {self.task}"


def _whereabouts(thread: int, root: trio.lowlevel.Task | None) -> Place | str:
    running = next(filter(_is_running, _tasks(root)), None)
    if running is not None:
        for frame in _frames(thread, running):
            if _is_to_blame(frame.f_code.co_filename):
                return _place(frame, running.name)
    return "not by a task: was this process stopped, or does it have too many tasks?"


def _place(frame: FrameType, task: str) -> Place:
    code = frame.f_code
    return Place(code.co_filename, frame.f_lineno, code.co_qualname, task)


def _frames(thread: int, running: trio.lowlevel.Task) -> Iterator[FrameType]:
    """Yield the frames from the innermost to the one where the task began."""
    outermost = getattr(running.coro, "cr_frame", None)
    # The only way to look into another thread. It is documented for debuggers; this is one.
    frame = sys._current_frames().get(thread)
    while frame is not None:
        yield frame
        frame = frame.f_back if frame is not outermost else None


def _is_running(task: trio.lowlevel.Task) -> bool:
    return bool(getattr(task.coro, "cr_running", False))


def _is_to_blame(file: str) -> bool:
    if any(part in file for part in _INSTALLED):
        return not file.startswith(_TRIO)
    return not file.startswith((_STANDARD, _TRIO, "<frozen "))


def _tasks(task: trio.lowlevel.Task | None) -> Iterator[trio.lowlevel.Task]:
    # Safe in another thread while the loop is stuck, because then nothing here changes.
    if task is None:
        return
    yield task
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _tasks(child)
