"""The start of worker processes: over when all are ready, or when it has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import trio

from ..errors import ConfigError, TrizmqError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Muster", "StartFailed"]

#: Deaths that are no accident any more while not every worker has been ready.
MAX_DEATHS: Final = 5

#: How a process ends that has found its settings wrong.
USAGE: Final = "exit status 2"


class StartFailed(TrizmqError):  # noqa: N818 (the cause is the name)
    """The worker processes ended before they were ready."""


@final
class Muster:
    """Told of each worker process that is ready or has ended, it says how the start went.

    In one process a lifespan that fails ends the start; so it does in worker processes: at
    once where none was ever ready, and after some deaths where others were.

    Args:
      are_all_ready: whether every process is.

    """

    def __init__(self, are_all_ready: Callable[[], bool]) -> None:
        self._are_all_ready = are_all_ready
        self._is_over = trio.Event()
        self._failure: TrizmqError | None = None
        self._has_been_ready = False
        self._deaths = 0

    async def wait(self) -> TrizmqError | None:
        """Return when the start is over: None, or what it has failed of."""
        await self._is_over.wait()
        return self._failure

    def note_ready(self) -> None:
        """Be told that one is ready."""
        self._has_been_ready = True
        if self._are_all_ready():
            self._is_over.set()

    def note_exit(self, reason: str) -> None:
        """Be told that one has ended, and how: as the supervisor says it."""
        if self._is_over.is_set() or reason == "exit status 0":
            return
        self._deaths += 1
        is_its_own = reason.startswith(("exit status", "not started"))
        if self._deaths >= MAX_DEATHS or (is_its_own and not self._has_been_ready):
            kind = ConfigError if reason == USAGE else StartFailed
            self._failure = kind(
                f"a worker process ended before all were ready ({reason}): its own lines in this"
                " log say why"
            )
            self._is_over.set()
