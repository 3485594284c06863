"""The broker's view of workers, and the choice between workers with the same services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeAlias, final

from ..bounds import UNBOUNDED
from .queues import RequestQueue

if TYPE_CHECKING:
    from ..wire.items import Takes

__all__ = ["Crew", "Token", "Worker"]


#: The id of a call at its worker: an integer in the native dialect; in MDP, a client address that
#: is made for one dispatch, so that workers never see a routing id and could not use one.
Token: TypeAlias = int | bytes


class Worker(ABC):
    """A port through which the broker reaches a worker, with the dispatcher's data about it.

    The calls are `calls.Flight`; they are `Any` here because a flight knows its worker, and
    imports run one way.

    Attributes:
      name: its name, for display.
      dialect: its dialect, for display: ``"local"``, ``"native"``, ``"mdp02"`` ...
      public: its services that have public routes.
      routes: its routes, for display and estimates: ``"GET /users/{user_id:int}"``.
      busy: the number of calls that it has.
      flights: the calls that it has, by token; a worker in this process has no tokens.
      queue: the calls that wait for this worker only.
      is_leaving: whether it gets no more calls.
      takes: the largest call that it accepts, if that is less than the broker accepts.
      checks_sizes: whether it compares its responses to the limits itself.
      crew: the workers that offer the same services.
      level: its level in the crew, which is the number of its calls; -1 if it is in no level.
      is_quiet: whether it was silent for so long that other workers get calls first.
      is_reserved: whether it gets no calls, because it has a suspect or will get one when it
        is idle.
      held: the bytes of the bodies of its calls; at ``most_held``, it gets no more calls.
      window: the number of calls that it may have now: less than its capacity if it is new, and
        calls waited when it joined.

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
        """Stop a call that has ended for its caller, if the dialect has a command for that."""

    @abstractmethod
    def grant(self, flight: Any, more: int) -> None:
        """Let it send ``more`` further bytes of a streamed response, if the dialect can."""

    @abstractmethod
    def beat(self) -> None:
        """Send a heartbeat."""

    @abstractmethod
    def dismiss(self, reason: str) -> None:
        """Disconnect it; ``reason``: the reason of a goaway in the native dialect."""

    @property
    def has_room(self) -> bool:
        """Whether it can get another call."""
        return (
            self.busy < self.capacity
            and not self.is_leaving
            and not self.is_reserved
            and self.busy < self.window
            and self.held < self.most_held
        )


@final
class _Levels:
    """Workers with free capacity, by the number of their calls; equals in order of arrival."""

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
    """All workers that offer exactly these services; `first` returns the one for the next call.

    It is the least busy worker, and among equals the least recently used. But a worker that was
    silent for too long, perhaps because it hangs, comes after all others.

    There is no search: a call moves its worker up one level, and its end moves it down again.
    With a single worker, the usual case in one process, there are no levels.

    Args:
      services: the names of the services.
      quiet_after: seconds of silence after which other workers get calls first.

    """

    def __init__(self, services: tuple[str, ...], *, quiet_after: float) -> None:
        self.services = services
        #: The index of the service whose turn is next.
        self.turn = 0
        self.workers: dict[Worker, None] = {}
        #: The number of calls that all of them can have at once.
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
        if len(self.workers) == 2:  # a single worker needs no order
            for one in self.workers:
                self.note(one)
        else:
            self.note(worker)

    def retire(self, worker: Worker) -> None:
        """Give a worker no more calls, although it has not left yet."""
        if not worker.is_leaving:
            worker.is_leaving = True
            self.capacity -= worker.capacity
            self.note(worker)

    def leave(self, worker: Worker) -> None:
        """Remove a worker."""
        self.retire(worker)
        self._take(worker)
        self.workers.pop(worker, None)
        self._note_sole()
        worker.crew = None

    def _note_sole(self) -> None:
        self._sole = next(iter(self.workers)) if len(self.workers) == 1 else None

    def note(self, worker: Worker) -> None:
        """Record that the number of its calls, or `has_room`, may have changed."""
        if len(self.workers) == 1:
            return
        self._take(worker)
        if worker.has_room:
            (self._quiet if worker.is_quiet else self._heard).put(worker)

    def _take(self, worker: Worker) -> None:
        if worker.level >= 0:
            (self._quiet if worker.is_quiet else self._heard).take(worker)

    def note_heard(self, worker: Worker) -> None:
        """Record that a quiet worker has sent a message again."""
        self._take(worker)
        worker.is_quiet = False
        self.note(worker)

    def first(self, now: float) -> Worker | None:
        """Return the worker for the next call; None if no worker has capacity."""
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
