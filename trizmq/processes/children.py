"""One child process: started without a fork of ours, and gone when we are."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
from secrets import token_hex
from typing import TYPE_CHECKING, Final, final

import trio

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SUPERVISED", "WORKER_NAME", "WORKER_SECRET", "Child"]


LOGGER = logging.getLogger("trizmq.supervisor")


#: Environment of a child: the descriptor of a pipe from us, what the broker is to call it, and
#: what it calls itself, so that the broker knows it: anybody could claim the name.
SUPERVISED: Final = "TRIZMQ_SUPERVISED"


WORKER_NAME: Final = "TRIZMQ_WORKER_NAME"


WORKER_SECRET: Final = "TRIZMQ_WORKER_SECRET"  # noqa: S105 (a variable's name)


#: How long the kernel may take to end what was killed, in seconds.
REAP_SECONDS: Final = 1.0


@final
class Child:
    """A process, from before its start until after its end.

    Args:
      number: 1..N: which of the N it is. Its successor has the same.
      name: unlike that of any other.

    Attributes:
      secret: known to this process and the child.
      is_ready: the broker has welcomed it.
      ready_at: when, on Trio's clock; infinity if it has not.
      is_retired: another is to take its place.
      is_leaving: it was asked to end, so its end is no death.

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
        """Whether it is one of those that are wanted."""
        return not (self.is_retired or self.is_leaving)

    def leave(self) -> None:
        """Ask it to end: SIGTERM, at which a worker drains. Once: a second one would end it."""
        if not self.is_leaving:
            self.is_leaving = True
            self._signal(signal.SIGTERM)

    def kill(self, cause: str) -> None:
        """End it now: SIGKILL, which also ends what hangs or is stopped."""
        self._cause = cause
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            self._first_signal = number
        else:
            self._process.send_signal(number)  # nothing happens if it has ended

    async def live(self, command: Sequence[str]) -> str:
        """Start the process, see it to its end, and say what that was.

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
            os.close(writing)  # only after the end: for that it is there
        return self._how_it_ended(process)

    async def _start(self, command: Sequence[str], lifeline: int) -> trio.Process:
        # A new session, so that Ctrl-C on the terminal reaches only the parent: it asks the
        # children to leave, and a second signal would end them at once.
        self._process = process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,  # not the lifeline: a handler may read its stdin
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
    except ValueError:  # a real-time signal: only the first and the last have a name
        return f"signal {-returncode}"
