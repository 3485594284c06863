"""The calls in flight: queued, given to workers, taken back from lost ones, ended once."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..bounds import find_oversize
from ..retries import MAX_ATTEMPTS, RetryBudget
from ..wire.items import Call
from . import refusals
from .assignments import Assignments
from .calls import Flight
from .ledger import Backlog
from .reservations import MAX_DEATHS, Newcomers, Suspects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ..limits import Limits
    from ..messages import Response as Outcome
    from ..wire.items import Body
    from .calls import Token
    from .clients import Clients
    from .outbox import Counters, Outbox
    from .services import Service
    from .workers import Worker

__all__ = ["Dispatcher"]


@final
class Dispatcher(Backlog):
    """Services, workers with room, and which call is given to whom.

    Theory of operation. A call that was opened is *queued* or *dispatched*, and ends once.
    Closing takes it out of its client's calls and out of the queue; a worker that still has
    it is told to stop. The worker's room comes back when the worker says so, by `finish`,
    and only then: a handler that ignores its cancellation keeps its room.

    ============  ==================  ============================================
    a flight is   when                ends by
    ============  ==================  ============================================
    queued        ``is_queued``       expiry 504 (no), cancel, lost peer, 503 (no)
                                      if it would be answered too late
    dispatched    ``worker`` is set   response, expiry 504 (maybe), cancel, lost
                                      peer; lost worker: queued again, or 502
    ended         ``ended``           (a response that comes now is late: dropped)
    ============  ==================  ============================================
    """

    def __init__(
        self,
        limits: Limits,
        counters: Counters,
        outbox: Outbox,
        clients: Clients,
        *,
        instance: str,
    ) -> None:
        super().__init__(limits, counters, outbox, clients)
        self._assignments = Assignments(outbox, instance=instance)
        self._budget = RetryBudget()
        self._suspects = Suspects(self.services)
        self._newcomers = Newcomers()

    # -- workers -----------------------------------------------------------------------

    def join(self, worker: Worker) -> None:
        """Let ``worker`` take calls of its services from now on."""
        worker.most_held = self._limits.worker_bytes
        self.roster.join(worker)
        if any(self.services[name].queue.count for name in worker.services):
            self._newcomers.add(worker, self.now)
        self._feed(worker)

    def retire(self, worker: Worker) -> None:
        """Give ``worker`` nothing more; what it has it may finish."""
        if worker.crew is not None:
            worker.crew.retire(worker)
        self._orphan(worker.queue.flights())

    def note_heard(self, worker: Worker) -> None:
        """Be told that a worker that others were preferred to has been heard again."""
        if worker.crew is not None:
            worker.crew.note_heard(worker)

    def lose(
        self, worker: Worker, *, is_death: bool = True, undelivered: Collection[Token] = ()
    ) -> None:
        """Take back what ``worker`` has: it is gone. What may be repeated goes to another.

        Args:
          is_death: it did not say goodbye: what it had may be what ended it.
          undelivered: tokens of calls that it was certainly never sent.

        """
        self.retire(worker)
        self._newcomers.discard(worker)
        self._suspects.free(worker)
        self.roster.leave(worker, self.now)
        held = list(worker.flights.values())
        worker.flights.clear()
        for flight in held:
            flight.service.in_flight -= 1
            if flight.ended:
                self.let_go(flight)
        alive = [flight for flight in held if not flight.ended]
        given = [flight for flight in alive if flight.token not in undelivered]
        for flight in alive:
            if flight.token in undelivered:
                flight.attempts -= 1
            else:
                flight.deaths += is_death
        may_repeat = bool(given) and self._budget.fail()
        again = [
            flight
            for flight in alive
            if flight.token in undelivered or (may_repeat and self._may_go_again(flight))
        ]
        for flight in reversed(again):
            self._counters.redispatched += 1
            self.wait_again(flight)
        for flight in given:
            if flight.worker is worker:
                self._counters.lost += 1
                self.answer(flight, refusals.lost(flight))
                self.let_go(flight)
        self._feed_services({flight.service for flight in again})

    def _may_go_again(self, flight: Flight) -> bool:
        return (
            flight.may_be_repeated and flight.attempts < MAX_ATTEMPTS and flight.deaths < MAX_DEATHS
        )

    def _orphan(self, waiting: Iterable[Flight]) -> None:
        for flight in waiting:
            self.refuse(flight, 503, "the worker that was named is gone")

    # -- feeding -----------------------------------------------------------------------

    def _feed(self, worker: Worker) -> None:
        """Give a worker that may have room what waits for it."""
        if not worker.busy and worker.has_room:
            suspect = self._suspects.take(worker, self.now)
            if suspect is not None:
                self.take_out(suspect)
                self._dispatch(suspect, worker)
                return
        while worker.has_room and (flight := self.next_for(worker)):
            self._dispatch(flight, worker)
        if worker.has_room and worker.window < worker.capacity:
            self._newcomers.discard(worker)  # nothing waits: there is nothing to share

    def _feed_services(self, services: Iterable[Service]) -> None:
        for service in services:
            # Several workers may have room: each has its turn, not one of them all.
            while service.queue.count and (worker := service.pick(self.now)):
                if not self._feed_once(worker):
                    break
            self._suspects.seek(service, self.now)

    def _feed_once(self, worker: Worker) -> bool:
        """Give a worker with room one call; return whether there was one."""
        flight = self._suspects.take(worker, self.now)
        if flight is not None:
            self.take_out(flight)
        else:
            flight = self.next_for(worker)
        if flight is not None:
            self._dispatch(flight, worker)
        return flight is not None

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest."""
        soon = min(self.deadlines.next, self._newcomers.next_tick)
        return min(soon, min(self._suspects.next_tick, self.roster.next_tick))

    def tick(self, now: float) -> None:
        """Let time pass for what waits; the deadlines are the caller's to look at."""
        self.now = now
        grown = self._newcomers.tick(now)
        for worker in grown:
            if worker.crew is not None:
                worker.crew.note(worker)
        names = dict.fromkeys(name for worker in grown for name in worker.services)
        self._feed_services([self.services[name] for name in names])
        for worker, suspect in self._suspects.overdue(now):
            if suspect is not None:
                self.take_out(suspect)
                self._dispatch(suspect, worker)
            else:
                self._free(worker)
        self.roster.tick(now)

    # -- a call's way in ---------------------------------------------------------------

    def reopen(self, flight: Flight) -> Flight:
        """Take in a call again whose worker has answered, though not to our liking.

        The same call under the same deadline, but a new record: the old one is the
        worker's until its room is free.
        """
        call = Call(flight.id, 0, flight.method, flight.target, flight.headers, flight.body)
        again = Flight(flight.peer, call, flight.deadline, flight.service, flight.return_path)
        again.principal = flight.principal
        again.attempts, again.deaths = flight.attempts, flight.deaths
        self._counters.redispatched += 1
        self._counters.calls -= 1  # it is one call still
        self._close(flight)
        self.open(again)
        return again

    def place(self, flight: Flight) -> None:
        """Give an open call to a worker that has room, or let it wait for one."""
        wanted = flight.wanted
        if wanted is None:
            worker = flight.service.pick(self.now)
        else:
            worker = wanted if wanted.has_room else None
        if worker is not None:
            flight.service.is_overloaded = False
            self._dispatch(flight, worker)
        else:
            self.wait(flight)

    def _dispatch(self, flight: Flight, worker: Worker) -> None:
        if worker.takes is not None and (oversize := find_oversize(flight, worker.takes)):
            self._counters.refused += 1
            self.answer(flight, refusals.refusal(flight, *oversize))
            return
        flight.worker = worker
        flight.attempts += 1
        self._shedding.note_start(flight, self.now)
        flight.service.in_flight += 1
        worker.busy += 1
        worker.held += flight.held
        crew = worker.crew
        if crew is not None and len(crew.workers) > 1:
            crew.note(worker)
        self._assignments.give(flight, worker, self.now)

    # -- a call's way out --------------------------------------------------------------

    def release(self, flight: Flight, *, was_stopped: bool = False) -> None:
        """Be told that its worker is done with ``flight``: there is room again.

        ``was_stopped``: it was not done to its end.
        """
        worker = flight.worker
        assert worker is not None
        self._shedding.note_end(flight, self.now, was_stopped=was_stopped)
        flight.service.in_flight -= 1
        if worker.address is not None:
            worker.flights.pop(flight.token, None)
        worker.held -= flight.held
        self.let_go(flight)
        worker.busy -= 1
        if worker.is_reserved and (flight.deaths or not worker.busy):
            self._free(worker, had_suspect=bool(flight.deaths))
            return
        if worker.window < worker.capacity:
            worker.window += 1
        crew = worker.crew
        if crew is not None and len(crew.workers) > 1:
            crew.note(worker)
        if self.queued_bytes:
            self._feed(worker)

    def _free(self, worker: Worker, *, had_suspect: bool = False) -> None:
        """Let a worker that was reserved for suspects have what waits; then again suspects."""
        service = self._suspects.free(worker)
        if had_suspect and worker.capacity > 1:
            # The others first: there may be many suspects, and it could do many of these.
            while worker.has_room and (flight := self.next_for(worker)):
                self._dispatch(flight, worker)
        self._feed(worker)
        if service is not None:
            self._suspects.seek(service, self.now)

    def part(self, flight: Flight, body: Body) -> None:
        """Pass on a part of a response, or keep it where the client's dialect has none."""
        if self.slow and flight.peer.address in self.slow and not flight.ended:
            self._counters.lost += 1
            self.stop(flight, refusals.unread(flight))
        elif not flight.ended and (fault := self._replies.part(flight, body)):
            self._counters.lost += 1
            self.note_oversize(flight, fault)
            self.stop(flight, refusals.refusal(flight, 500, fault, executed="maybe"))

    def stop(self, flight: Flight, outcome: Outcome | None = None) -> None:
        """End a call from outside: a worker that has it is told to stop."""
        if outcome is not None:
            self.answer(flight, outcome)
        else:
            self.close(flight)
        self._assignments.take_back(flight)

    def succeed(self, flight: Flight, response: Outcome) -> None:
        """End a call with its worker's response."""
        self.respond(flight, response)
        self._counters.answered += 1
        self._budget.succeed()
