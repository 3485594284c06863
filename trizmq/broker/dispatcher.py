"""The dispatcher: gives calls to workers, and takes back the calls of lost workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..bounds import find_oversize
from ..messages import Response as Outcome
from ..retries import MAX_ATTEMPTS, RetryBudget
from ..wire.items import Call
from . import statuses
from .calls import Calls, Flight
from .queue_limits import Backlog
from .reservations import MAX_DEATHS, Newcomers, Suspects
from .services import Roster
from .statuses import Replies

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from ..wire.items import Body
    from .clients import Peer
    from .outbox import Context
    from .services import Service
    from .workers import Token, Worker

__all__ = ["Dispatcher"]


@final
class Dispatcher:
    """Gives calls to workers with free capacity, and takes back the calls of lost workers.

    Theory of operation. An open call goes to a worker, or waits for one, and ends once:
    see `CallState` for the states, and `TRANSITIONS` for the transitions between them.

    ==========  ==================================================================
    state       ends by
    ==========  ==================================================================
    QUEUED      expiry 504 (no), cancellation, loss of its client; 503 (no) if the
                response would be too late
    ASSIGNED    its response, expiry 504 (maybe), cancellation, loss of its client;
                if its worker is lost, it is QUEUED again, or ends with a 502
    ==========  ==================================================================

    If a call ends without its response, its worker is asked to stop it. The worker's capacity
    is free again only when the worker has reported the end: see `release`.

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
        #: Starts a streamed response with its head; the gate replaces it if there is a reply hook.
        self.begin: Callable[[Flight, Outcome], None] = self.send_head
        self._suspects = Suspects(self.services, calls)
        self._newcomers = Newcomers()

    # -- workers -----------------------------------------------------------------------

    def join(self, worker: Worker) -> None:
        """Give ``worker`` calls of its services from now on."""
        worker.most_held = self._worker_bytes
        self.roster.join(worker)
        if any(self.services[name].queue.count for name in worker.services):
            self._newcomers.add(worker, self.now)
        self._feed(worker)

    def retire(self, worker: Worker) -> None:
        """Give ``worker`` no more calls; it may finish the calls that it has."""
        if worker.crew is not None:
            worker.crew.retire(worker)
        for flight in worker.queue.calls():
            self.replies.refuse(flight, 503, "the worker that a hook chose has left")

    def note_heard(self, worker: Worker) -> None:
        """Record that a quiet ``worker`` has sent a message again."""
        if worker.crew is not None:
            worker.crew.note_heard(worker)

    def lose(
        self, worker: Worker, *, is_death: bool = True, undelivered: Collection[Token] = ()
    ) -> None:
        """Take back the calls of ``worker``, which has gone; repeat those that may be repeated.

        Args:
          is_death: whether it left without a goodbye: one of its calls may be the cause.
          undelivered: tokens of calls that were certainly never sent to it.

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
        """Give waiting calls to a worker, as long as it has capacity."""
        if not worker.busy and worker.has_room:
            suspect = self._suspects.take(worker)
            if suspect is not None:
                self._assign(suspect, worker)
                return
        self._fill(worker)
        if worker.has_room and worker.window < worker.capacity:
            self._newcomers.discard(worker)  # no call waits: there is nothing to share

    def _fill(self, worker: Worker) -> None:
        while worker.has_room and (flight := self._backlog.next_for(worker, self.now)):
            self._assign(flight, worker)

    def _feed_services(self, services: Iterable[Service]) -> None:
        for service in services:
            # Several workers may have capacity: they take turns.
            while service.queue.count and (worker := service.pick(self.now)):
                if not self._feed_once(worker):
                    break
            self._suspects.seek(service, self.now)

    def _feed_once(self, worker: Worker) -> bool:
        """Give one call to a worker that has capacity; return whether a call waited."""
        flight = self._suspects.take(worker) or self._backlog.next_for(worker, self.now)
        if flight is not None:
            self._assign(flight, worker)
        return flight is not None

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """The latest time at which to call `tick`."""
        soon = min(self.calls.deadlines.next, self._newcomers.next_tick)
        return min(soon, min(self._suspects.next_tick, self.roster.next_tick))

    def tick(self, now: float) -> None:
        """Do what is due for waiting calls and workers; the caller checks deadlines."""
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

    # -- the start of a call -----------------------------------------------------------

    def open(self, flight: Flight) -> None:
        """Record and count a new call. From now on, it ends exactly once."""
        self.calls.open(flight)
        self._counters.calls += 1

    def reopen(self, flight: Flight) -> Flight:
        """Open a call again, because a hook has sent it to another worker.

        The call and the deadline are the same, but the record is new: the old one belongs to
        the first worker until it has released it.
        """
        call = Call(flight.id, 0, flight.method, flight.target, flight.headers, flight.body)
        call.window = flight.window
        again = Flight(flight.peer, call, flight.deadline, flight.service, flight.return_path)
        again.principal = flight.principal
        again.attempts, again.deaths = flight.attempts, flight.deaths
        self._counters.redispatched += 1
        self.calls.end(flight)
        self.calls.open(again)
        return again

    def place(self, flight: Flight) -> None:
        """Give an open call to a worker that has capacity, or let it wait for one."""
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

    # -- the end of a call -------------------------------------------------------------

    def release(self, flight: Flight, *, was_stopped: bool = False) -> None:
        """Record that the worker of ``flight`` has finished, and give it the next call.

        ``was_stopped``: whether the worker stopped the call before its end.
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
        """Give waiting calls to a worker that was reserved for suspects; then reserve again."""
        service = self._suspects.free(worker)
        if had_suspect and worker.capacity > 1:
            # Other calls first: there may be many suspects, and it can have many others at once.
            self._fill(worker)
        self._feed(worker)
        if service is not None:
            self._suspects.seek(service, self.now)

    def send_head(self, flight: Flight, response: Outcome) -> None:
        """Send the head of a streamed response to the caller, for `begin`."""
        if outcome := self.replies.begin(flight, response):
            self._counters.lost += 1
            self.stop(flight, outcome)

    def grant(self, flight: Flight, more: int) -> None:
        """Let the worker of a streamed response send ``more`` further bytes."""
        if flight.has_worker and flight.worker is not None:
            flight.worker.grant(flight, more)

    def part(self, flight: Flight, body: Body) -> None:
        """Send a part of a response, or keep it if the client's dialect has no parts."""
        if flight.window and not (flight.has_begun or flight.ended):
            self.begin(flight, Outcome(200))  # from an MDP worker, or ahead of a late response
        if not flight.ended and (outcome := self.replies.part(flight, body)):
            self._counters.lost += 1
            self.stop(flight, outcome)

    def stop(self, flight: Flight, outcome: Outcome | None = None) -> None:
        """End a call before its worker has responded, and cancel it at the worker.

        ``outcome``: the response for the caller; None if the caller has gone.
        """
        if outcome is not None:
            self.replies.answer(flight, outcome)
        else:
            self.replies.close(flight)
        if flight.has_worker and flight.worker is not None:
            flight.worker.cancel(flight)

    def give_up(self, flight: Flight) -> None:
        """End a call whose caller has gone or has cancelled it."""
        self._counters.cancelled += 1
        self.stop(flight)

    def give_up_all_of(self, peer: Peer) -> None:
        """End every call of a client with a 502 or 503: this broker will serve none of them."""
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
