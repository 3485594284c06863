"""The calls in flight: queued, given to workers, taken back from lost ones, ended once."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, final

from ..admission import Event
from ..wire import commands
from ..wire.items import MAX_BODY_FRAMES, Call, Cancel, Part, Response, body_of, frames_of
from ..wire.return_path import MDP
from . import refusals
from .bounds import MIN_BODY_BYTES, find_oversize, find_oversize_response, size_of
from .deadlines import Deadlines
from .records import LOCAL, NATIVE, Flight, Worker
from .retries import MAX_ATTEMPTS, RetryBudget
from .services import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..messages import Response as Outcome
    from ..wire.items import Body
    from .clients import Clients
    from .counters import Counters
    from .limits import Limits
    from .outbox import Outbox

__all__ = ["Dispatcher"]


@final
class Dispatcher:
    """Services, workers with room, and every call from `open` to `close`.

    Theory of operation. A call that was opened is *queued* or *dispatched*, and ends once.
    Closing takes it out of its client's calls and out of the queue; a worker that still has
    it is told to stop. The worker's room comes back when the worker says so, by `finish`,
    and only then: a handler that ignores its cancellation keeps its room.

    ============  ==================  ============================================
    a flight is   when                ends by
    ============  ==================  ============================================
    queued        ``worker is None``  expiry 504 (no), cancel, lost peer
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
        self.services: dict[str, Service] = {}
        self.in_flight = 0
        self.queued_bytes = 0
        self.deadlines: Deadlines[Flight] = Deadlines()
        self.now = 0.0  # as last told: the deadlines that workers are given count from it
        self._limits = limits
        self._takes = limits.takes
        self._counters = counters
        self._outbox = outbox
        self._clients = clients
        self._instance = instance
        self._tokens = count(1)
        self._budget = RetryBudget()

    # -- workers -----------------------------------------------------------------------

    def join(self, worker: Worker) -> None:
        """Let ``worker`` take calls of its services from now on."""
        for name in worker.services:
            if name not in self.services:
                self.services[name] = Service(name)
            self.services[name].join(worker)
        self._feed(worker)

    def retire(self, worker: Worker) -> None:
        """Give ``worker`` nothing more; what it has it may finish."""
        worker.is_leaving = True
        self._note_room(worker)
        self._orphan(worker.queue.flights())

    def lose(self, worker: Worker) -> None:
        """Take back what ``worker`` has: it is gone. What may be repeated goes to another."""
        self.retire(worker)
        for name in worker.services:
            self.services[name].leave(worker)
        held = list(worker.flights.values())
        worker.flights.clear()
        for flight in held:
            flight.service.in_flight -= 1
        alive = [flight for flight in held if not flight.ended]
        may_repeat = bool(alive) and self._budget.fail()
        again = [flight for flight in alive if may_repeat and self._may_go_again(flight)]
        for flight in reversed(again):
            self._counters.redispatched += 1
            self._queue_again(flight)
        for flight in alive:
            if flight.worker is worker:
                self._counters.lost += 1
                self.answer(flight, refusals.lost(flight))
        self._feed_services({flight.service for flight in again})

    def _may_go_again(self, flight: Flight) -> bool:
        return flight.may_be_repeated and flight.attempts < MAX_ATTEMPTS

    def _queue_again(self, flight: Flight) -> None:
        flight.worker = flight.wanted = None
        flight.gathered.clear()
        flight.size = size_of(flight)
        self.queued_bytes += flight.size
        flight.queue.push_front(flight)

    def _orphan(self, waiting: Iterable[Flight]) -> None:
        for flight in waiting:
            self._counters.refused += 1
            self.answer(flight, self._busy(flight, 503, "the worker that was named is gone"))

    def _note_room(self, worker: Worker) -> None:
        for name in worker.services:
            self.services[name].note_room(worker)

    def _occupy(self, worker: Worker) -> None:
        worker.busy += 1
        if worker.busy >= worker.capacity:
            self._note_room(worker)

    def _release(self, worker: Worker) -> None:
        was_full = worker.busy >= worker.capacity
        worker.busy -= 1
        if was_full:
            self._note_room(worker)
        if self.queued_bytes:
            self._feed(worker)

    def _feed(self, worker: Worker) -> None:
        while worker.has_room and (flight := self._next_queued(worker)):
            self.queued_bytes -= flight.size
            self._dispatch(flight, worker)

    def _feed_services(self, services: Iterable[Service]) -> None:
        for service in services:
            while service.queue.count and (worker := service.pick()):
                self._feed(worker)

    def _next_queued(self, worker: Worker) -> Flight | None:
        if worker.queue.count:
            return worker.queue.pop()
        names = worker.services
        for turn, name in enumerate(names, 1):
            if flight := self.services[name].queue.pop():
                worker.services = names[turn:] + names[:turn]  # next time the others are first
                return flight
        return None

    # -- a call's way in ---------------------------------------------------------------

    def open(self, flight: Flight) -> None:
        """Take in a call; from now on it ends exactly once."""
        flight.peer.flights[flight.id] = flight
        self.deadlines.add(flight.deadline, flight)
        self._counters.calls += 1
        self.in_flight += 1

    def reopen(self, flight: Flight) -> Flight:
        """Take in a call again whose worker has answered, though not to our liking.

        The same call under the same deadline, but a new record: the old one is the
        worker's until its room is free.
        """
        call = Call(flight.id, 0, flight.method, flight.target, flight.headers, flight.body)
        again = Flight(flight.peer, call, flight.deadline, flight.service, flight.return_path)
        again.principal = flight.principal
        again.attempts = flight.attempts
        self._counters.redispatched += 1
        self._counters.calls -= 1  # it is one call still
        self._close(flight)
        self.open(again)
        return again

    def place(self, flight: Flight) -> None:
        """Give an open call to a worker that has room, or let it wait for one."""
        worker = flight.wanted
        if worker is None:
            worker = flight.service.pick()
        if worker is not None and worker.has_room:
            self._dispatch(flight, worker)
        else:
            self._queue(flight)

    def _dispatch(self, flight: Flight, worker: Worker) -> None:
        if worker.takes is not None and (oversize := find_oversize(flight, worker.takes)):
            flight.size = 0  # it is in no queue any more
            self._counters.refused += 1
            self.answer(flight, refusals.refusal(flight, *oversize))
            return
        flight.worker = worker
        flight.attempts += 1
        self._occupy(worker)
        flight.service.in_flight += 1
        if worker.dialect == LOCAL:
            self._outbox.dispatched.append(flight)
        elif worker.dialect == NATIVE:
            self._assign_native(flight, worker)
        else:
            self._assign_mdp(flight, worker)

    def _assign_native(self, flight: Flight, worker: Worker) -> None:
        assert worker.address is not None
        flight.token = token = next(self._tokens)
        worker.flights[token] = flight
        worker.was_told = True
        item = Call(
            token,
            max(0, int((flight.deadline - self.now) * 1000)),
            flight.method,
            flight.target,
            flight.headers,
            flight.body,
            flight.principal,
            flight.request_id,
        )
        self._outbox.assign(worker.address, item)

    def _assign_mdp(self, flight: Flight, worker: Worker) -> None:
        assert worker.address is not None
        flight.token = token = f"{self._instance}{next(self._tokens):08x}".encode()
        worker.flights[token] = flight
        worker.was_told = True
        request = commands.Request(token, tuple(frames_of(flight.body)))
        frames = MDP[worker.dialect].encode_worker(request)
        self._outbox.worker_messages.append((worker.address, frames))

    def _queue(self, flight: Flight) -> None:
        limits, queue, size = self._limits, flight.queue, size_of(flight)
        if (
            queue.count >= limits.service_calls
            or queue.bytes + size > limits.service_bytes
            or self.queued_bytes + size > limits.broker_bytes
        ):
            self.refuse(flight, 503, f"service {flight.service.name} is overloaded")
        elif flight.peer.queued_bytes + size > limits.client_bytes:
            self.refuse(flight, 429, "this client has too many bytes waiting")
        else:
            flight.size = size
            self.queued_bytes += size
            queue.push(flight)

    # -- a call's way out --------------------------------------------------------------

    def release(self, flight: Flight) -> None:
        """Be told that its worker is done with ``flight``: there is room again."""
        worker = flight.worker
        assert worker is not None
        flight.service.in_flight -= 1
        worker.flights.pop(flight.token, None)
        self._release(worker)

    def part(self, flight: Flight, body: Body) -> None:
        """Pass on a part of a response, or keep it where the client's dialect has none."""
        if flight.ended:
            return
        takes = flight.peer.takes or self._takes
        size = sum(map(len, frames_of(body)))
        # Our clients gather the parts, so that all of them are one body.
        if size + (flight.sent if flight.return_path is None else 0) > takes.body_bytes:
            self._stop_oversize(flight, f"its parts are larger than {takes.body_bytes} bytes")
        elif flight.return_path is None:
            flight.peer.was_told = True
            self._outbox.say(flight.peer.address, Part(flight.id, flight.parts, body))
            flight.parts += 1
            flight.sent += size
        elif flight.return_path.streams:
            frames = flight.return_path.encode(Part(flight.id, flight.parts, body))
            self._outbox.messages.append((flight.peer.address, frames))
            flight.parts += 1
        else:
            self._gather(flight, frames_of(body))

    def _gather(self, flight: Flight, frames: list[bytes]) -> None:
        flight.gathered += frames
        # Their number too: an empty frame costs memory, and counting all of them time.
        if (
            len(flight.gathered) >= MAX_BODY_FRAMES
            or sum(map(len, flight.gathered)) > self._limits.body_bytes
        ):
            most = self._limits.body_bytes
            self._stop_oversize(flight, f"its parts are too many, or larger than {most} bytes")

    def stop(self, flight: Flight, outcome: Outcome | None = None) -> None:
        """End a call from outside: a worker that has it is told to stop."""
        worker = flight.worker
        if outcome is not None:
            self.answer(flight, outcome)
        else:
            self.close(flight)
        if worker is None:
            return
        if worker.dialect == LOCAL:
            self._outbox.abandoned.append(flight)
        elif worker.dialect == NATIVE and worker.address is not None:
            assert isinstance(flight.token, int)
            self._outbox.assign(worker.address, Cancel(flight.token))

    def turn_away(self, flight: Flight) -> None:
        """End a call that no worker was given: this broker drains, and another may take it."""
        self._counters.refused += 1
        retry_after_ms = self._limits.retry_after_ms
        outcome = refusals.draining(flight, retry_after_ms=retry_after_ms)
        self.answer(flight, outcome, taken=False)

    def refuse(self, flight: Flight, status: int, detail: str) -> None:
        """End a call with a 429 or 503."""
        self._counters.refused += 1
        self.answer(flight, self._busy(flight, status, detail))

    def _busy(self, flight: Flight, status: int, detail: str) -> Outcome:
        return refusals.busy(flight, status, detail, retry_after_ms=self._limits.retry_after_ms)

    def succeed(self, flight: Flight, response: Outcome) -> None:
        """End a call with its worker's response."""
        self.respond(flight, response)
        self._counters.answered += 1
        self._budget.succeed()

    def respond(self, flight: Flight, response: Outcome) -> None:
        """End a call with a response and the parts before it, or a 500 if these are too large."""
        gathered = flight.gathered
        if gathered or flight.sent or len(response.body) > MIN_BODY_BYTES or response.headers:
            takes = flight.peer.takes or self._takes
            sent = flight.sent + sum(map(len, gathered))
            oversize = find_oversize_response(response, sent, takes)
            if oversize is not None:
                self._note_oversize(flight, oversize)
                self.answer(flight, refusals.refusal(flight, 500, oversize, executed="maybe"))
                return
        self.answer(flight, response, gathered)

    def answer(
        self,
        flight: Flight,
        outcome: Outcome,
        gathered: Sequence[bytes] = (),
        *,
        taken: bool = True,
    ) -> None:
        """End a call, and tell its caller how; ``gathered`` are frames ahead of the body."""
        peer = flight.peer
        body = body_of([*gathered, outcome.body]) if gathered else outcome.body
        item = Response(flight.id, outcome.status, outcome.headers, body, taken)
        # Closed only when it is sure that there is something to send: a call that is neither in
        # flight nor answered would leave its caller waiting.
        if flight.return_path is None:
            self.close(flight)
            peer.was_told = True
            self._outbox.say(peer.address, item)
        else:
            frames = flight.return_path.encode(item)
            self.close(flight)
            self._outbox.messages.append((peer.address, frames))

    def _stop_oversize(self, flight: Flight, detail: str) -> None:
        self._counters.lost += 1
        self._note_oversize(flight, detail)
        self.stop(flight, refusals.refusal(flight, 500, detail, executed="maybe"))

    def _note_oversize(self, flight: Flight, detail: str) -> None:
        path, _, _ = flight.target.partition("?")
        reason = f"{flight.method} {path}: {detail}; answered 500 (request {flight.request_id})"
        name = flight.worker.name if flight.worker is not None else ""
        self._outbox.events.append(Event("oversize", name, (flight.service.name,), reason))

    def close(self, flight: Flight) -> None:
        """Take the call out of everything but its worker. Every call passes here, once."""
        self._close(flight)
        if flight.peer.envelope is not None:
            self._clients.forget_if_idle(flight.peer)

    def _close(self, flight: Flight) -> None:
        flight.ended = True
        self.in_flight -= 1
        self.deadlines.forget()
        flight.body = b""  # the record stays in the heap of deadlines for a while
        if flight.gathered:
            flight.gathered = []
        del flight.peer.flights[flight.id]
        if flight.worker is None and flight.size:
            flight.queue.leave(flight)
            self.queued_bytes -= flight.size
