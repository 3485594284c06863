"""The supervisor: child processes, kept alive, replaced one after another, stopped."""

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


#: How long a new child may take until the broker has welcomed it, when it replaces another.
READY_SECONDS: Final = 10.0


@final
class Supervisor:
    """N child processes, kept alive.

    A child gets one end of a pipe, and only this process has the other: it is to end when
    that is closed (`watchdog.end_with_parent`). Its standard input is empty. And it finds its
    name, like ``w1-5f3a9c``, in the environment, as ``TRIZMQ_WORKER_NAME``.

    Args:
      command: what to run, N times.
      count: N.
      grace: seconds that a child has from SIGTERM to SIGKILL. A little more than what
        it gives to its own calls, or it is killed while it says goodbye.
      on_exit: told synchronously of each end: (name, reason), with a reason like
        ``"exit status 1"`` or ``"SIGKILL"``. Not of those that end because `run` is cancelled.
      on_start: told synchronously before each start: (name, secret). What knows the secret
        is the child.

    """

    # Theory of operation. What is wanted is a number, what there is a dict of children, and
    # `run` starts what is missing. Each child has a task that sees it to its end and takes it
    # out of the dict. All else is a change to these two, after which who waits is woken: a
    # child that died is missing; so is one that is retired or leaving; to stop is to want none.

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
        """Start the children, and others for those that die; return after `stop`.

        A child that dies is replaced at once; when `RestartPolicy` sees too many deaths,
        after a pause. If this is cancelled, all are killed and reaped.
        """
        async with trio.open_nursery() as nursery:
            task_status.started()
            while self._wanted:
                self._start_missing(nursery)
                with trio.move_on_at(self._policy.not_before if self._missing else math.inf):
                    await self._changed.wait()

    @property
    def are_all_ready(self) -> bool:
        """Whether as many children as are wanted have been welcomed by the broker."""
        return sum(child.is_ready for child in self._children.values()) >= self._wanted

    @property
    def stop_seconds(self) -> float:
        """How long `stop` may take."""
        return self._grace + REAP_SECONDS

    @property
    def is_pausing(self) -> bool:
        """Whether children die so fast that the next ones are not started at once."""
        return self._missing > 0 and trio.current_time() < self._policy.not_before

    def note_ready(self, name: str) -> None:
        """Take note that the broker has welcomed child ``name``."""
        if child := self._children.get(name):
            child.is_ready, child.ready_at = True, trio.current_time()
            self._wake()

    def note_lost(self, name: str, reason: str) -> None:
        """Take note that the broker has given up child ``name``: kill it, for it hangs.

        Nothing happens if it has ended already.
        """
        if child := self._children.get(name):
            LOGGER.error("killing %s: %s", name, reason)
            child.kill(reason)

    async def replace_all(self) -> None:
        """Replace the children one after another, each only when its successor is ready.

        If a successor is not ready within `READY_SECONDS`, that is logged, and the
        children that are there stay: better an old one than none.
        """
        async with self._replacing:
            for child in tuple(self._children.values()):
                # One that has died has a successor already, which is as new as can be.
                if child.name in self._children and not await self._replace(child):
                    return
            LOGGER.info("replaced all")

    async def stop(self) -> None:
        """End all: SIGTERM, and SIGKILL to what is left after the grace. None is restarted."""
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
        """Stay with those that are there, after a successor was not ready in time."""
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


#: So many deaths within so many seconds are no accident any more.
BURST: Final = 5


WINDOW: Final = 60.0


#: A child that served for so many seconds died of an accident: it does not count.
SETTLED: Final = 1.0


#: Then there is a pause, in seconds, each twice the last.
FIRST_PAUSE: Final = 1.0


LONGEST_PAUSE: Final = 30.0


@final
class RestartPolicy:
    """Told of each death, it says from when on children may be started.

    A pause is over for good once nothing has died for a whole `WINDOW`.

    Attributes:
      not_before: on the clock of the ``now`` that is passed.

    """

    def __init__(self) -> None:
        self.not_before = -math.inf
        self._pause = 0.0
        self._deaths: deque[float] = deque(maxlen=BURST)

    def note_death(self, now: float, *, served: float = 0.0) -> None:
        """Take note; `not_before` may be later then.

        ``served``: for how many seconds the child did what it is for. Pauses are for
        children that cannot live, not for those that somebody kills.
        """
        if served >= SETTLED:
            return
        if self._deaths and now - self._deaths[-1] >= WINDOW:
            self._pause = 0.0
        self._deaths.append(now)
        # Those that die together, or in the pause, count as one: nothing was tried between.
        if now >= self.not_before and (self._pause or self._is_burst(now)):
            self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
            self.not_before = now + self._pause

    def _is_burst(self, now: float) -> bool:
        return len(self._deaths) == BURST and now - self._deaths[0] <= WINDOW
