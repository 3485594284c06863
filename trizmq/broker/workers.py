"""Workers, as the broker sees them, and the choice between those with the same services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeAlias, final

from ..bounds import UNBOUNDED
from .queues import RequestQueue

if TYPE_CHECKING:
    from ..wire.items import Takes

__all__ = ["Crew", "Token", "Worker"]


#: What a worker knows a call by: an id in the native dialect; in MDP a client address that
#: was minted for this one dispatch, so that a routing id is never seen, nor of use.
Token: TypeAlias = int | bytes


class Worker(ABC):
    """A port by which the broker reaches a worker, with what the dispatcher knows of it.

    The calls are `calls.Flight`; they are `Any` here because a flight knows its worker, and
    imports run one way.

    Attributes:
      name: for people.
      dialect: what it speaks, for people: ``"local"``, ``"native"``, ``"mdp02"`` ...
      public: those of its services that have public routes.
      routes: for people: ``"GET /users/{user_id:int}"``.
      busy: how many calls it has.
      flights: the calls that it has, by token; a worker in this process needs no token.
      queue: calls that wait for this worker and no other.
      is_leaving: it is given nothing more.
      takes: how large a call may be, if that is less than what the broker takes.
      checks_sizes: whether it holds its responses against the limits itself.
      crew: those that offer the same services.
      level: where its crew keeps it: by how many calls it has; -1 if it has no room.
      is_quiet: it was silent for so long that others are given calls first.
      is_reserved: it is given nothing, because it has a suspect, or is to have one when it
        is empty.
      held: bytes of the bodies of its calls; ``most_held``: it is given no more than that.
      window: how many calls it may have now: it came while many waited, and others may be
        coming.

    """

    def __init__(
        self,
        services: tuple[str, ...],
        capacity: int,
        name: str,
        dialect: str,
        *,
        public: frozenset[str] = frozenset(),
        routes: tuple[str, ...] = (),
    ) -> None:
        self.services = services
        self.capacity = capacity
        self.name = name
        self.dialect = dialect
        self.public = public
        self.routes = routes
        self.busy = 0
        self.flights: dict[Token, Any] = {}
        self.queue: RequestQueue[Any] = RequestQueue()
        self.is_leaving = False
        self.heard_at = float("inf")
        self.takes: Takes | None = None
        self.checks_sizes = False
        self.crew: Crew | None = None
        self.level = -1
        self.is_quiet = False
        self.is_reserved = False
        self.held = 0
        self.most_held = 64 * 1024 * 1024
        self.window = UNBOUNDED

    @abstractmethod
    def assign(self, flight: Any, now: float) -> None:
        """Give it a call."""

    @abstractmethod
    def cancel(self, flight: Any) -> None:
        """Stop a call whose caller has gone, if the dialect has a command for that."""

    @abstractmethod
    def beat(self) -> None:
        """Send a heartbeat."""

    @abstractmethod
    def dismiss(self, reason: str) -> None:
        """Send it away; ``reason`` is a word of the native dialect's goaway."""

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
        self.services = services
        #: The index of the service whose turn is next.
        self.turn = 0
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
        """Take note that the number of its calls, or whether it has room, may have changed."""
        if len(self.workers) == 1:
            return
        self._take(worker)
        if worker.has_room:
            (self._quiet if worker.is_quiet else self._heard).put(worker)

    def _take(self, worker: Worker) -> None:
        if worker.level >= 0:
            (self._quiet if worker.is_quiet else self._heard).take(worker)

    def note_heard(self, worker: Worker) -> None:
        """Take note that a worker that was quiet has been heard again."""
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
