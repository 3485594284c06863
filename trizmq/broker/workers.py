"""Workers, and the crews of those that offer the same services."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from .queues import RequestQueue

if TYPE_CHECKING:
    from ..wire.items import Takes
    from .calls import Flight, Token

__all__ = ["LOCAL", "NATIVE", "UNBOUNDED", "Crew", "Worker"]


@final
class _Levels:
    """Workers with room, by how many calls they have; those of one level by when they came."""

    def __init__(self) -> None:
        self._levels: list[OrderedDict[Worker, None]] = []
        self._lowest = 0
        self._count = 0

    def put(self, worker: Worker) -> None:
        level = worker.level = worker.busy
        while len(self._levels) <= level:
            self._levels.append(OrderedDict())
        self._levels[level][worker] = None
        self._count += 1
        self._lowest = min(self._lowest, level)

    def take(self, worker: Worker) -> None:
        del self._levels[worker.level][worker]
        worker.level = -1
        self._count -= 1

    def first(self) -> Worker | None:
        if not self._count:
            return None
        while not self._levels[self._lowest]:
            self._lowest += 1
        return next(iter(self._levels[self._lowest]))


@final
class Crew:
    """All workers that offer exactly these services; `first` is the one to be given a call.

    That is the least busy, and of these the least recently used; but a worker that was
    silent for too long, as one that hangs is, comes after all others.

    Nothing is looked for: a call moves its worker up by a level, its end down by one. With
    a single worker, the usual case in one process, there are no levels at all.

    Args:
      services: their names.
      quiet_after: seconds of silence after which a worker is passed over.

    """

    def __init__(self, services: tuple[str, ...], *, quiet_after: float) -> None:
        #: The names, the service whose turn is next first.
        self.services = services
        self.workers: dict[Worker, None] = {}
        #: How many calls all of them can have at once.
        self.capacity = 0
        self._sole: Worker | None = None
        self._quiet_after = quiet_after
        self._heard = _Levels()
        self._quiet = _Levels()

    def join(self, worker: Worker) -> None:
        """Add a worker."""
        worker.crew = self
        self.workers[worker] = None
        self._note_sole()
        self.capacity += worker.capacity
        if len(self.workers) == 2:  # until now there was no need for an order
            for one in self.workers:
                self.note(one)
        else:
            self.note(worker)

    def retire(self, worker: Worker) -> None:
        """Give a worker nothing more, though it has not left yet."""
        if not worker.is_leaving:
            worker.is_leaving = True
            self.capacity -= worker.capacity
            self.note(worker)

    def leave(self, worker: Worker) -> None:
        """Take out a worker."""
        self.retire(worker)
        self._take(worker)
        self.workers.pop(worker, None)
        self._note_sole()
        worker.crew = None

    def _note_sole(self) -> None:
        self._sole = next(iter(self.workers)) if len(self.workers) == 1 else None

    def note(self, worker: Worker) -> None:
        """Be told that the number of its calls, or its having room, may have changed."""
        if len(self.workers) == 1:
            return
        self._take(worker)
        if worker.has_room:
            (self._quiet if worker.is_quiet else self._heard).put(worker)

    def _take(self, worker: Worker) -> None:
        if worker.level >= 0:
            (self._quiet if worker.is_quiet else self._heard).take(worker)

    def note_heard(self, worker: Worker) -> None:
        """Be told that a worker that was quiet has been heard again."""
        self._take(worker)
        worker.is_quiet = False
        self.note(worker)

    def first(self, now: float) -> Worker | None:
        """Return the worker that should have the next call, or None if none has room."""
        sole = self._sole
        if sole is not None:
            return sole if sole.has_room else None
        while worker := self._heard.first():
            if now - worker.heard_at <= self._quiet_after:
                return worker
            self._heard.take(worker)
            worker.is_quiet = True
            self._quiet.put(worker)
        return self._quiet.first()


#: What a worker speaks that is in the broker's own process: function calls.
LOCAL: Final = "local"
NATIVE: Final = "native"

#: More calls than there ever are, in a number that compiled code compares at once.
UNBOUNDED: Final = 1 << 60


@final
@dataclass(eq=False)
class Worker:
    """Who does the work of some services, so many calls at once."""

    services: tuple[str, ...]
    capacity: int
    name: str = LOCAL
    dialect: str = LOCAL
    #: The routing id on the backend; None of the local worker.
    address: bytes | None = None
    #: Those of the services that have public routes.
    public: frozenset[str] = frozenset()
    #: Its routes, for people: ``"GET /users/{user_id:int}"``.
    routes: tuple[str, ...] = ()
    busy: int = 0
    #: What it has in hand, by token, if it is on the backend.
    flights: dict[Token, Flight] = field(default_factory=dict)
    #: Calls that wait for this worker and no other.
    queue: RequestQueue = field(default_factory=RequestQueue)
    is_leaving: bool = False
    heard_at: float = 0.0
    was_told: bool = False
    #: It was seen to send heartbeats while it had a call: then their lack means something.
    beats_while_busy: bool = False
    #: Heartbeats since it was given the call that it has, in MDP.
    beats: int = 0
    #: It has just sent a FINAL: one stray PARTIAL behind it is forgiven.
    may_stray: bool = False
    #: How large may be what it is sent, if that is less than what we take.
    takes: Takes | None = None
    #: Header fields of a call of its that are as they have to be.
    headers: dict[str, str] = field(default_factory=dict)
    #: Those that offer the same services.
    crew: Crew | None = None
    #: Where its crew keeps it: by how many calls it has; -1 if it has no room.
    level: int = -1
    #: It was silent for so long that others are given calls first.
    is_quiet: bool = False
    #: It is given nothing, because it has a suspect, or is to have one when it is empty.
    is_reserved: bool = False
    #: Bytes of the bodies that it was given, and the most that it is given.
    held: int = 0
    #: Bytes of its large messages that were read, and for which it got no credit yet.
    read: int = 0
    most_held: int = 64 * 1024 * 1024
    #: How many calls it may have now: it came while many waited, and others may be coming.
    window: int = UNBOUNDED

    @property
    def has_room(self) -> bool:
        """Whether it can take one call more."""
        return (
            self.busy < self.capacity
            and not self.is_leaving
            and not self.is_reserved
            and self.busy < self.window
            and self.held < self.most_held
        )
