"""A child process, started without a fork of our own, and ended with its parent."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
from secrets import token_hex
from typing import TYPE_CHECKING, Final, final

import trio

from ..errors import ConfigError, TrizmqError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SUPERVISED", "WORKER_NAME", "WORKER_SECRET", "Child", "Muster", "StartFailed"]

LOGGER = logging.getLogger("trizmq.supervisor")

#: Environment of a child: the descriptor of a pipe from its parent, its name at the broker, and a
#: secret by which the broker recognizes it, because any worker could use the name.
SUPERVISED: Final = "TRIZMQ_SUPERVISED"
WORKER_NAME: Final = "TRIZMQ_WORKER_NAME"
WORKER_SECRET: Final = "TRIZMQ_WORKER_SECRET"  # noqa: S105 (a variable's name)

#: Seconds that the kernel may take to end a killed process.
REAP_SECONDS: Final = 1.0


@final
class Child:
    """A process, from before its start until after its end.

    Args:
      number: from 1 to N. A successor has the same number.
      name: a unique name.

    Attributes:
      secret: known only to this process and the child.
      is_ready: whether the broker has accepted it.
      ready_at: the time of its acceptance on Trio's clock; infinity before.
      is_retired: whether another child will replace it.
      is_leaving: whether it is being stopped, so that its end does not count as a death.

    """

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.secret = token_hex(16)
        self.is_ready = self.is_retired = self.is_leaving = False
        self.ready_at = math.inf
        self._process: trio.Process | None = None
        self._first_signal: signal.Signals | None = None
        self._cause = ""

    @property
    def is_staying(self) -> bool:
        """Whether it counts towards the wanted number."""
        return not (self.is_retired or self.is_leaving)

    def leave(self) -> None:
        """Send SIGTERM, which drains a worker. Only once: a second one would end it immediately."""
        if not self.is_leaving:
            self.is_leaving = True
            self._signal(signal.SIGTERM)

    def kill(self, cause: str) -> None:
        """End it now with SIGKILL, which works even if it hangs or is stopped."""
        self._cause = cause
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            self._first_signal = number
        else:
            self._process.send_signal(number)  # has no effect if it has ended

    async def live(self, command: Sequence[str]) -> str:
        """Start the process, wait for its end, and return a description of the reason.

        If cancelled, the process is killed and reaped.
        """
        reading, writing = os.pipe()
        try:
            try:
                process = await self._start(command, reading)
            except OSError as error:
                return f"not started: {error}"
            finally:
                os.close(reading)
            try:
                await process.wait()
            finally:
                await _reap(process)
        finally:
            os.close(writing)  # only after the end, because closing it ends the child
        return self._how_it_ended(process)

    async def _start(self, command: Sequence[str], lifeline: int) -> trio.Process:
        # A new session, so that Ctrl-C on the terminal reaches only the parent. The parent stops
        # the children, and a second signal would end them immediately.
        self._process = process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,  # not the pipe: a handler may read its stdin
            pass_fds=[lifeline],
            env={
                **os.environ,
                SUPERVISED: str(lifeline),
                WORKER_NAME: self.name,
                WORKER_SECRET: self.secret,
            },
            start_new_session=True,
        )
        LOGGER.info("started %s, pid %d", self.name, process.pid)
        if self._first_signal is not None:
            self._signal(self._first_signal)
        return process

    def _how_it_ended(self, process: trio.Process) -> str:
        assert process.returncode is not None
        how = _in_words(process.returncode)
        return f"{how} ({self._cause})" if self._cause else how


async def _reap(process: trio.Process) -> None:
    if process.returncode is None:
        process.kill()
        with trio.move_on_after(REAP_SECONDS, shield=True):
            await process.wait()


def _in_words(returncode: int) -> str:
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:  # a real-time signal; only the first and the last have a name
        return f"signal {-returncode}"


#: The number of deaths after which a start fails, while not all workers have been ready.
MAX_DEATHS: Final = 5

#: The exit status of a process with invalid settings.
USAGE: Final = "exit status 2"


class StartFailed(TrizmqError):  # noqa: N818 (the cause is the name)
    """The worker processes ended before they were ready."""


@final
class Muster:
    """Decides whether the start has succeeded, as worker processes become ready or end.

    In a single process, a failing lifespan ends the start. Failing worker processes do the same:
    immediately if none has ever been ready, otherwise after several deaths.

    Args:
      are_all_ready: returns whether all processes are ready.

    """

    def __init__(self, are_all_ready: Callable[[], bool]) -> None:
        self._are_all_ready = are_all_ready
        self._is_over = trio.Event()
        self._failure: TrizmqError | None = None
        self._has_been_ready = False
        self._deaths = 0

    async def wait(self) -> TrizmqError | None:
        """Wait until the start is over; return None, or the error."""
        await self._is_over.wait()
        return self._failure

    def note_ready(self) -> None:
        """Record that a process is ready."""
        self._has_been_ready = True
        if self._are_all_ready():
            self._is_over.set()

    def note_exit(self, reason: str) -> None:
        """Record the end of a process, with the supervisor's reason."""
        if self._is_over.is_set() or reason == "exit status 0":
            return
        self._deaths += 1
        is_its_own = reason.startswith(("exit status", "not started"))
        if self._deaths >= MAX_DEATHS or (is_its_own and not self._has_been_ready):
            kind = ConfigError if reason == USAGE else StartFailed
            self._failure = kind(
                f"a worker process ended before all were ready ({reason}): see its lines in this"
                " log"
            )
            self._is_over.set()
