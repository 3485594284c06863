"""The supervisor: keeps child processes alive, replaces them one after another, stops them."""

from __future__ import annotations

import logging
import math
import secrets
from collections import deque
from itertools import count as count_from
from typing import TYPE_CHECKING, Final, final

import trio

from .children import REAP_SECONDS, Child

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

__all__ = [
    "BURST",
    "FIRST_PAUSE",
    "LONGEST_PAUSE",
    "READY_SECONDS",
    "SETTLED",
    "WINDOW",
    "RestartPolicy",
    "Supervisor",
]

LOGGER = logging.getLogger("trizmq.supervisor")

#: Seconds that a child that replaces another may take until the broker accepts it.
READY_SECONDS: Final = 10.0


@final
class Supervisor:
    """Keeps N child processes alive.

    Each child gets one end of a pipe, and only this process has the other: the child ends when
    that is closed (`watchdog.end_with_parent`). Its standard input is empty. It finds its name,
    such as ``w1-5f3a9c``, in the environment, as ``TRIZMQ_WORKER_NAME``.

    Args:
      command: the command to run N times.
      count: N.
      grace: seconds from SIGTERM to SIGKILL for a child. Must be a little longer than the
        grace of its own calls, or it is killed while it disconnects.
      on_exit: called at each end with (name, reason), where the reason is like
        ``"exit status 1"`` or ``"SIGKILL"``; not for children that end because `run` is
        cancelled.
      on_start: called before each start with (name, secret). A process that knows the secret
        is the child.

    """

    # Theory of operation. There is a wanted number and a dict of children, and `run` starts the
    # missing ones. Each child has a task that waits for its end and removes it from the dict.
    # Everything else changes one of these two and wakes the waiting tasks: a child that has died
    # is missing, and so is one that is retired or leaving; stopping sets the wanted number to 0.

    def __init__(
        self,
        command: Sequence[str],
        *,
        count: int,
        grace: float,
        on_exit: Callable[[str, str], object],
        on_start: Callable[[str, str], object] = lambda _name, _secret: None,
    ) -> None:
        self._command = command
        self._wanted = count
        self._grace = grace
        self._on_exit = on_exit
        self._on_start = on_start
        self._children: dict[str, Child] = {}
        self._policy = RestartPolicy()
        self._changed = trio.Event()
        self._replacing = trio.Lock()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the children, and replacements for those that die; return after `stop`.

        A child that dies is replaced immediately, or after a pause if `RestartPolicy` has
        counted too many deaths. If this is cancelled, all children are killed and reaped.
        """
        async with trio.open_nursery() as nursery:
            task_status.started()
            while self._wanted:
                self._start_missing(nursery)
                with trio.move_on_at(self._policy.not_before if self._missing else math.inf):
                    await self._changed.wait()

    @property
    def are_all_ready(self) -> bool:
        """Whether the broker has accepted the wanted number of children."""
        return sum(child.is_ready for child in self._children.values()) >= self._wanted

    @property
    def stop_seconds(self) -> float:
        """How long `stop` may take."""
        return self._grace + REAP_SECONDS

    @property
    def is_pausing(self) -> bool:
        """Whether children die so fast that the next ones have to wait."""
        return self._missing > 0 and trio.current_time() < self._policy.not_before

    def note_ready(self, name: str) -> None:
        """Record that the broker has accepted the child ``name``."""
        if child := self._children.get(name):
            child.is_ready, child.ready_at = True, trio.current_time()
            self._wake()

    def note_lost(self, name: str, reason: str) -> None:
        """Kill the child ``name``, which hangs, so that the broker considers it lost.

        It has no effect if the child has already ended.
        """
        if child := self._children.get(name):
            LOGGER.error("killing %s: %s", name, reason)
            child.kill(reason)

    async def replace_all(self) -> None:
        """Replace the children one after another, each when its successor is ready.

        If a successor is not ready within `READY_SECONDS`, that is logged, and the current
        children stay: an old child is better than none.
        """
        async with self._replacing:
            for child in tuple(self._children.values()):
                # A child that has died already has a successor, which is new enough.
                if child.name in self._children and not await self._replace(child):
                    return
            LOGGER.info("replaced all")

    async def stop(self) -> None:
        """Stop all children: SIGTERM, and SIGKILL after the grace. None is restarted."""
        self._wanted = 0
        self._wake()
        await self._see_off(tuple(self._children.values()))

    @property
    def _missing(self) -> int:
        return self._wanted - sum(child.is_staying for child in self._children.values())

    def _start_missing(self, nursery: trio.Nursery) -> None:
        if trio.current_time() >= self._policy.not_before:
            for _ in range(self._missing):
                nursery.start_soon(self._see_through, self._new_child())

    def _new_child(self) -> Child:
        taken = {child.number for child in self._children.values() if child.is_staying}
        number = next(number for number in count_from(1) if number not in taken)
        child = Child(number, f"w{number}-{secrets.token_hex(3)}")
        self._children[child.name] = child
        self._on_start(child.name, child.secret)
        return child

    async def _see_through(self, child: Child) -> None:
        try:
            reason = await child.live(self._command)
        finally:
            del self._children[child.name]
            self._wake()
        self._note_end(child, reason)
        self._on_exit(child.name, reason)

    def _note_end(self, child: Child, reason: str) -> None:
        if child.is_leaving:
            LOGGER.info("%s ended: %s", child.name, reason)
            return
        now = trio.current_time()
        self._policy.note_death(now, served=now - child.ready_at)
        pause = max(0.0, self._policy.not_before - now)
        LOGGER.warning("%s died: %s; starting another in %.1f s", child.name, reason, pause)

    async def _replace(self, old: Child) -> bool:
        """Return whether ``old`` was replaced."""
        known = set(self._children)
        old.is_retired = True
        try:
            await self._successor(known)
            if self._newcomers(known, are_ready=True):
                await self._see_off([old])
                return True
        finally:
            old.is_retired = False  # it is leaving, or stays after all
        self._keep(known)
        return False

    async def _successor(self, known: Collection[str]) -> None:
        self._wake()
        with trio.move_on_after(READY_SECONDS):
            await self._until(
                lambda: not self._wanted or bool(self._newcomers(known, are_ready=True))
            )

    def _newcomers(self, known: Collection[str], *, are_ready: bool) -> list[Child]:
        return [
            child
            for child in self._children.values()
            if child.name not in known and child.is_ready is are_ready
        ]

    def _keep(self, known: Collection[str]) -> None:
        """Keep the current children, because a successor was not ready in time."""
        if not self._wanted:
            return
        LOGGER.error("a new child was not ready within %g s: keeping the old", READY_SECONDS)
        for child in self._newcomers(known, are_ready=False):
            child.is_leaving = True
            child.kill("not ready in time")

    async def _see_off(self, children: Collection[Child]) -> None:
        for child in children:
            child.leave()
        with trio.move_on_after(self._grace):
            await self._until_gone(children)
        for child in self._left_of(children):
            LOGGER.warning("killing %s: it did not end within %g s", child.name, self._grace)
            child.kill("it did not end in time")
        with trio.move_on_after(REAP_SECONDS):
            await self._until_gone(children)

    def _left_of(self, children: Collection[Child]) -> list[Child]:
        return [child for child in children if child.name in self._children]

    async def _until_gone(self, children: Collection[Child]) -> None:
        await self._until(lambda: not self._left_of(children))

    async def _until(self, is_so: Callable[[], bool]) -> None:
        await trio.lowlevel.checkpoint()
        while not is_so():
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


#: Restarts are delayed after this number of deaths within this number of seconds.
BURST: Final = 5
WINDOW: Final = 60.0

#: Seconds of service after which the death of a child is an accident, and does not count.
SETTLED: Final = 1.0

#: Seconds of the first and of the longest pause; each pause is twice the previous one.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0


@final
class RestartPolicy:
    """Records deaths, and decides when the next children may be started.

    The pauses end when no child has died for a whole `WINDOW`.

    Attributes:
      not_before: the earliest start, on the clock of the ``now`` that is passed.

    """

    def __init__(self) -> None:
        self.not_before = -math.inf
        self._pause = 0.0
        self._deaths: deque[float] = deque(maxlen=BURST)

    def note_death(self, now: float, *, served: float = 0.0) -> None:
        """Record a death, which may move `not_before`.

        ``served`` is the time for which the child was serving. Pauses are meant for children
        that cannot work, not for children that a person kills.
        """
        if served >= SETTLED:
            return
        if self._deaths and now - self._deaths[-1] >= WINDOW:
            self._pause = 0.0
        self._deaths.append(now)
        # Deaths at the same time, or during the pause, count as one: no start was tried in between.
        if now >= self.not_before and (self._pause or self._is_burst(now)):
            self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
            self.not_before = now + self._pause

    def _is_burst(self, now: float) -> bool:
        return len(self._deaths) == BURST and now - self._deaths[0] <= WINDOW
