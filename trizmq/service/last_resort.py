"""Ending this process when it does not end by itself, and saying what kept it."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["arm", "end_within", "left_behind"]

LOGGER = logging.getLogger("trizmq.service")

#: When to end, on the monotonic clock, and with which exit code. A queue of this kind may be
#: filled in a signal handler, whatever that has interrupted.
_orders: Final[SimpleQueue[tuple[float, int]]] = SimpleQueue()

_is_armed = False


def arm() -> None:
    """Let `end_within` end this process: for processes that are ours alone."""
    global _is_armed
    if not _is_armed:
        _is_armed = True
        threading.Thread(target=_wait, name="trizmq last resort", daemon=True).start()


def end_within(seconds: float, code: int) -> None:
    """End this process with ``code`` if it lives that long; the latest order counts.

    For what a handler leaves behind can keep a process for ever: a thread, an executor or a
    child process that Python waits for, a task that shields itself, a loop that is stuck.
    May be called in a signal handler. Nothing happens where nobody has called `arm`.
    """
    _orders.put((time.monotonic() + seconds, code))


def left_behind() -> list[str]:
    """Name the threads and child processes that this process still has."""
    main = threading.main_thread()
    threads = [
        f"thread {thread.name!r}"
        for thread in threading.enumerate()
        if thread is not main and not thread.daemon and thread is not threading.current_thread()
    ]
    return threads + [f"child process {pid}" for pid in sorted(set(_children()))]


def _children() -> Iterator[int]:
    # Linux only. A process that has ended and was not waited for is no longer in anybody's way.
    with suppress(OSError):
        for listing in Path("/proc/self/task").glob("*/children"):
            for pid in map(int, listing.read_text().split()):
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    yield pid


def _wait() -> None:
    end, code = _orders.get()
    while True:
        try:
            end, code = _orders.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            break
    left = ", ".join(left_behind()) or "no thread and no child process: a task, or a hook at exit"
    LOGGER.error("ended by force, with exit code %d; what was left: %s", code, left)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
