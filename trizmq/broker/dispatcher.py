"""Which call is given to which worker, and what becomes of the calls of one that is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..bounds import find_oversize
from ..retries import MAX_ATTEMPTS, RetryBudget
from ..wire.items import Call
from . import statuses
from .calls import Calls, Flight
from .queue_limits import Backlog
from .reservations import MAX_DEATHS, Newcomers, Suspects
from .services import Roster
from .statuses import Replies

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from ..messages import Response as Outcome
    from ..wire.items import Body
    from .clients import Peer
    from .outbox import Context
    from .services import Service
    from .workers import Token, Worker

__all__ = ["Dispatcher"]


@final
class Dispatcher:
    """Gives calls to workers with room, and takes them back from workers that are lost.

    Theory of operation. A call that was opened goes to a worker, or waits for one, and ends
    once: see `CallState` for the states, and `TRANSITIONS` for the steps between them.

    ==========  ==================================================================
    state       ends by
    ==========  ==================================================================
    QUEUED      expiry 504 (no), cancellation, loss of its client; 503 (no) if it
                would be answered too late
    ASSIGNED    its response, expiry 504 (maybe), cancellation, loss of its client;
                if its worker is lost it is QUEUED again, or ends with a 502
    ==========  ==================================================================

    A worker stops a call that ends otherwise than by its response. Its room comes back
    when it says so, by `release`, and only then.

    ``now`` is the time of the last input; each input of the broker sets it.
    """

    def __init__(self, context: Context) -> None:
        self.now = 0.0
        self.calls = calls = Calls()
        self.roster = Roster(context.limits)
        self.services = self.roster.services
        self.replies = replies = Replies(context, calls)
        self._backlog = Backlog(context.limits, self.services, calls, replies)
        self._shedding = self._backlog.shedding
        self._worker_bytes = context.limits.worker_bytes
        self._counters = context.counters
        self._budget = RetryBudget()
        self._suspects = Suspects(self.services, calls)
        self._newcomers = Newcomers()

    # -- workers -----------------------------------------------------------------------

    def join(self, worker: Worker) -> None:
        """Let ``worker`` take calls of its services from now on."""
        worker.most_held = self._worker_bytes
        self.roster.join(worker)
        if any(self.services[name].queue.count for name in worker.services):
            self._newcomers.add(worker, self.now)
        self._feed(worker)

    def retire(self, worker: Worker) -> None:
        """Give ``worker`` nothing more; what it has it may finish."""
        if worker.crew is not None:
            worker.crew.retire(worker)
        for flight in worker.queue.calls():
            self.replies.refuse(flight, 503, "the worker that was named is gone")

    def note_heard(self, worker: Worker) -> None:
        """Take note that a worker that others were preferred to has been heard again."""
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
        held: list[Flight] = list(worker.flights.values())
        for flight in held:
            self.calls.release(flight)
        alive = [flight for flight in held if not flight.ended]
        given = [flight for flight in alive if flight.token not in undelivered]
        for flight in alive:
            if flight.token in undelivered:
                flight.attempts -= 1
            else:
                flight.deaths += is_death
        may_repeat = bool(given) and self._budget.fail()
        for flight in reversed(alive):
            if flight.token in undelivered or (may_repeat and self._may_go_again(flight)):
                self._counters.redispatched += 1
                self._backlog.wait_again(flight)
        again = {flight.service for flight in alive if flight.is_queued}
        for flight in given:
            if not flight.is_queued:
                self._counters.lost += 1
                self.replies.answer(flight, statuses.lost(flight))
        self._feed_services(again)

    def _may_go_again(self, flight: Flight) -> bool:
        return (
            flight.may_be_repeated and flight.attempts < MAX_ATTEMPTS and flight.deaths < MAX_DEATHS
        )

    # -- feeding -----------------------------------------------------------------------

    def _feed(self, worker: Worker) -> None:
        """Give a worker that may have room what waits for it."""
        if not worker.busy and worker.has_room:
            suspect = self._suspects.take(worker)
            if suspect is not None:
                self._assign(suspect, worker)
                return
        self._fill(worker)
        if worker.has_room and worker.window < worker.capacity:
            self._newcomers.discard(worker)  # nothing waits: there is nothing to share

    def _fill(self, worker: Worker) -> None:
        while worker.has_room and (flight := self._backlog.next_for(worker, self.now)):
            self._assign(flight, worker)

    def _feed_services(self, services: Iterable[Service]) -> None:
        for service in services:
            # Several workers may have room: each has its turn, not one of them all.
            while service.queue.count and (worker := service.pick(self.now)):
                if not self._feed_once(worker):
                    break
            self._suspects.seek(service, self.now)

    def _feed_once(self, worker: Worker) -> bool:
        """Give a worker with room one call; return whether there was one."""
        flight = self._suspects.take(worker) or self._backlog.next_for(worker, self.now)
        if flight is not None:
            self._assign(flight, worker)
        return flight is not None

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest."""
        soon = min(self.calls.deadlines.next, self._newcomers.next_tick)
        return min(soon, min(self._suspects.next_tick, self.roster.next_tick))

    def tick(self, now: float) -> None:
        """Let time pass for calls that wait; deadlines are the caller's to look at."""
        self.now = now
        grown = self._newcomers.tick(now)
        for worker in grown:
            if worker.crew is not None:
                worker.crew.note(worker)
        names = dict.fromkeys(name for worker in grown for name in worker.services)
        self._feed_services([self.services[name] for name in names])
        for worker, suspect in self._suspects.overdue(now):
            if suspect is not None:
                self._assign(suspect, worker)
            else:
                self._free(worker)
        self.roster.tick(now)

    # -- a call's way in ---------------------------------------------------------------

    def open(self, flight: Flight) -> None:
        """Take in a call; from now on it ends exactly once."""
        self.calls.open(flight)
        self._counters.calls += 1

    def reopen(self, flight: Flight) -> Flight:
        """Take in a call again whose worker's answer a hook did not let pass.

        The same call under the same deadline, but a new record: the old one is the
        worker's until its room is free.
        """
        call = Call(flight.id, 0, flight.method, flight.target, flight.headers, flight.body)
        again = Flight(flight.peer, call, flight.deadline, flight.service, flight.return_path)
        again.principal = flight.principal
        again.attempts, again.deaths = flight.attempts, flight.deaths
        self._counters.redispatched += 1
        self.calls.end(flight)
        self.calls.open(again)
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
            self._assign(flight, worker)
        else:
            self._backlog.wait(flight, self.now)

    def _assign(self, flight: Flight, worker: Worker) -> None:
        if worker.takes is not None and (oversize := find_oversize(flight, worker.takes)):
            self.replies.refuse_with(flight, statuses.refusal(flight, *oversize))
            return
        self.calls.assign(flight, worker)
        self._shedding.note_start(flight, self.now)
        crew = worker.crew
        if crew is not None and len(crew.workers) > 1:
            crew.note(worker)
        worker.assign(flight, self.now)

    # -- a call's way out --------------------------------------------------------------

    def release(self, flight: Flight, *, was_stopped: bool = False) -> None:
        """Take note that its worker is done with ``flight``: there is room again.

        ``was_stopped``: it was not done to its end.
        """
        worker = flight.worker
        assert worker is not None
        self._shedding.note_end(flight, self.now, was_stopped=was_stopped)
        self.calls.release(flight)
        if worker.is_reserved and (flight.deaths or not worker.busy):
            self._free(worker, had_suspect=bool(flight.deaths))
            return
        if worker.window < worker.capacity:
            worker.window += 1
        crew = worker.crew
        if crew is not None and len(crew.workers) > 1:
            crew.note(worker)
        if self.calls.queued_bytes:
            self._feed(worker)

    def _free(self, worker: Worker, *, had_suspect: bool = False) -> None:
        """Let a worker that was reserved for suspects have what waits; then again suspects."""
        service = self._suspects.free(worker)
        if had_suspect and worker.capacity > 1:
            # The others first: there may be many suspects, and it could do many of these.
            self._fill(worker)
        self._feed(worker)
        if service is not None:
            self._suspects.seek(service, self.now)

    def part(self, flight: Flight, body: Body) -> None:
        """Pass on a part of a response, or keep it where the client's dialect has none."""
        if not flight.ended and (outcome := self.replies.part(flight, body)):
            self._counters.lost += 1
            self.stop(flight, outcome)

    def stop(self, flight: Flight, outcome: Outcome | None = None) -> None:
        """End a call from outside, and cancel it at its worker.

        ``outcome``: the caller's response; None if the caller has gone.
        """
        if outcome is not None:
            self.replies.answer(flight, outcome)
        else:
            self.replies.close(flight)
        if flight.has_worker and flight.worker is not None:
            flight.worker.cancel(flight)

    def give_up(self, flight: Flight) -> None:
        """End a call whose caller has gone, or has cancelled it."""
        self._counters.cancelled += 1
        self.stop(flight)

    def give_up_all_of(self, peer: Peer) -> None:
        """Stop and answer every call of a client: no more of them will be served here."""
        for flight in list(peer.flights.values()):
            if flight.attempts:
                self._counters.lost += 1
                self.stop(flight, statuses.lost(flight))
            else:
                self.replies.turn_away(flight)

    def succeed(self, flight: Flight, response: Outcome) -> None:
        """End a call with its worker's response."""
        self.replies.respond(flight, response)
        self._counters.answered += 1
        self._budget.succeed()
