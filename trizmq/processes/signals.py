"""The signals of a serving process, and ending it by force if it does not end by itself."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, final

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

__all__ = ["Signals", "arm", "end_within", "left_behind", "receiving"]

LOGGER = logging.getLogger("trizmq.service")

#: Seconds that a process may take to unwind after its calls have ended; mainly to leave the
#: plugins' lifespans.
UNWIND_SECONDS: Final = 10.0

#: Seconds that it may take after a second signal.
NOW_SECONDS: Final = 5.0

#: The reload signal, which Windows does not have.
HANG_UP: Final = getattr(signal, "SIGHUP", None)
CAUGHT: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_installed: set[int] = set()  # for this process; forked children reset them


@contextmanager
def receiving(*, wanted: bool, patience: float) -> Iterator[Signals | None]:
    """Catch SIGINT, SIGTERM and SIGHUP if ``wanted``; only in the main thread.

    Args:
      patience: how many seconds a drain may take. After that, a process that called `arm` is
        ended by force, because a stuck loop never processes a signal.

    """
    if not wanted:
        yield None
        return
    signals = Signals(patience)
    former = {number: signal.signal(number, signals.note) for number in CAUGHT}
    signals.is_nohup = HANG_UP is not None and former[HANG_UP] is signal.SIG_IGN
    _installed.update(CAUGHT)
    try:
        yield signals
    finally:
        _installed.clear()
        for number, handler in former.items():
            signal.signal(number, handler)


@final
class Signals:
    """The requests made by signals: to drain, to end now, to reload.

    SIGINT and SIGTERM request a drain, and a second one to end now. SIGHUP requests a reload, or a
    drain if the terminal in which the process was started has gone. Under ``nohup``, which
    ignores the latter, it always requests a reload.
    """

    def __init__(self, patience: float) -> None:
        self.is_nohup = False
        self._patience = patience
        self._had_terminal = _has_terminal()
        self._token = trio.lowlevel.current_trio_token()
        self._changed = trio.Event()
        self._ends: list[str] = []  # the names of the signals that request the end
        self._wants_reload = False

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal; like every signal handler, this may interrupt any code."""
        if number == HANG_UP and (self.is_nohup or not self._had_terminal or _has_terminal()):
            self._wants_reload = True
        else:
            self._ends.append(signal.Signals(number).name)
            is_first = len(self._ends) == 1
            end_within(self._patience + UNWIND_SECONDS if is_first else NOW_SECONDS, 1)
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._wake, idempotent=True)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def obey(
        self,
        drain: Callable[[], Awaitable[None]],
        reload: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Return when the process should end: after ``drain``, or at a second signal.

        ``reload`` runs once at a time; signals that arrive during it cause one more.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reload_when_asked, reload)
            await self._until(lambda: len(self._ends) > 0)
            LOGGER.info("%s: draining", self._ends[0])
            nursery.start_soon(self._end_at_once_when_asked, nursery)
            await drain()
            LOGGER.info("drained")
            nursery.cancel_scope.cancel()

    async def _reload_when_asked(self, reload: Callable[[], Awaitable[None]] | None) -> None:
        while not self._ends:
            await self._until(lambda: self._wants_reload)
            self._wants_reload = False
            LOGGER.info("SIGHUP: %s", "replacing the workers" if reload else "no workers")
            if reload is not None:
                await reload()

    async def _end_at_once_when_asked(self, nursery: trio.Nursery) -> None:
        await self._until(lambda: len(self._ends) > 1)
        LOGGER.warning("%s again: ending now", self._ends[-1])
        nursery.cancel_scope.cancel()

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            await self._changed.wait()


def _has_terminal() -> bool:
    """Return whether this process belongs to a terminal that still exists."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except (OSError, AttributeError):  # not available on Windows
        return False
    return True


# A process that a handler forks must not swallow SIGTERM: the signal handler would notify a loop
# that runs only in the parent. Signals are blocked during the fork, so that one that reaches the
# child before its handlers are reset is delivered afterwards.


def _hold() -> None:
    if _installed:
        _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _installed)


def _release() -> None:
    mask = vars(_forking).pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _reset_in_child() -> None:
    if _installed:
        signal.set_wakeup_fd(-1)
        for number in _installed:
            signal.signal(number, signal.SIG_DFL)
        _installed.clear()
    _release()


#: In a thread that forks, the mask to restore afterwards.
_forking: Final = threading.local()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_reset_in_child)


#: The time of the end on the monotonic clock, and the exit code. A signal handler may put items
#: into this kind of queue, whatever code it has interrupted.
_orders: Final[SimpleQueue[tuple[float, int]]] = SimpleQueue()
_is_armed = False


def arm() -> None:
    """Enable `end_within`; only for processes that run nothing but trizmq."""
    global _is_armed
    if not _is_armed:
        _is_armed = True
        threading.Thread(target=_wait, name="trizmq last resort", daemon=True).start()


def end_within(seconds: float, code: int) -> None:
    """End this process with ``code`` if it still exists then; the latest call counts.

    Handlers can leave behind things that keep a process alive forever: a thread, an executor or a
    child process that Python waits for, a task that shields itself, a stuck loop. It may be
    called in a signal handler, and has no effect unless `arm` has been called.
    """
    _orders.put((time.monotonic() + seconds, code))


def left_behind() -> list[str]:
    """Return the names of the threads and child processes that this process still has."""
    main = threading.main_thread()
    threads = [
        f"thread {thread.name!r}"
        for thread in threading.enumerate()
        if thread is not main and not thread.daemon and thread is not threading.current_thread()
    ]
    return threads + [f"child process {pid}" for pid in sorted(set(_children()))]


def _children() -> Iterator[int]:
    # Linux only. A process that has ended without being reaped does not count.
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
    left = ", ".join(left_behind()) or "no thread or child process: a task, or an exit hook"
    LOGGER.error("ended by force, with exit code %d; remaining: %s", code, left)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
