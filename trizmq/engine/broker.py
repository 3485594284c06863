"""The broker's state: who calls, what waits, who works, and when each call must end."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final, final

import msgspec

from ..messages import problem
from ..wire.items import VERSION, Call, Cancel, Goaway, Heartbeat, Hello, Response
from . import mmi
from .counters import Counters
from .deadlines import Deadlines
from .limits import Limits
from .records import Flight, Peer, Service, Worker, find_oversize, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .. import messages
    from ..errors import Executed
    from ..wire.items import Item
    from ..wire.return_path import ReturnPath

__all__ = ["Broker", "Outbox"]

#: As much as is kept of what a client calls itself: it is kept as long as the client stays.
MAX_INSTANCE: Final = 64


class Outbox(msgspec.Struct):
    """What is to be done now. The driver takes it, does it, and never hands it back."""

    #: To native peers: routing id to items, in order; to be sent in batches.
    items: dict[bytes, list[Item]] = msgspec.field(default_factory=dict)
    #: To peers of other dialects: routing id, frames.
    messages: list[tuple[bytes, list[bytes]]] = msgspec.field(default_factory=list)
    #: To workers: start this; `Broker.finish` is to be called once for each.
    dispatched: list[Flight] = msgspec.field(default_factory=list)
    #: To workers: stop this. (It has ended here; `Broker.finish` is still wanted.)
    abandoned: list[Flight] = msgspec.field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be done."""
        return not (self.items or self.messages or self.dispatched or self.abandoned)


@final
class Broker:
    """Values and the time in; `take_outbox` is what to do about it. Never waits or raises.

    Theory of operation. A call is read (`receive`), held against the limits, and given to
    a worker that has room, or queued. It *ends* once: by the worker's response (`finish`),
    by a refusal, at its deadline (`tick`), by its caller's cancel, or with its caller
    (`lose`). Ending takes it out of its peer's calls and out of the queue; a worker that
    still has it is told to stop. The worker's room comes back when the worker says so, by
    `finish`, and only then: a handler that ignores its cancellation keeps its room.

    ============  ==================  ============================================
    a flight is   when                ends by
    ============  ==================  ============================================
    queued        ``worker is None``  expiry 504 (no), cancel, lost peer
    dispatched    ``worker`` is set   response, expiry 504 (maybe), cancel, lost peer
    ended         ``ended``           (a response that comes now is late: dropped)
    ============  ==================  ============================================
    """

    def __init__(self, limits: Limits | None = None, *, instance: str) -> None:
        self.limits = limits or Limits()
        self.instance = instance
        self.counters = Counters()
        self.services: dict[str, Service] = {}
        self.is_draining = False
        self.in_flight = 0
        self.queued_bytes = 0
        self._outbox = Outbox()
        self._hello = Hello(VERSION, instance, self.limits.client_calls)
        self._part_bytes = self.limits.part_bytes
        self._peers: dict[bytes, Peer] = {}
        self._foreign_peers: dict[bytes, dict[tuple[bytes, ...], Peer]] = {}
        self._foreign_ids = count(1)
        self._deadlines: Deadlines[Flight] = Deadlines()
        self._next_heartbeat = float("inf")

    def take_outbox(self) -> Outbox:
        """Return what is to be done, and start anew."""
        outbox, self._outbox = self._outbox, Outbox()
        return outbox

    # -- workers -----------------------------------------------------------------------

    def join(self, worker: Worker) -> None:
        """Let ``worker`` take calls of its services from now on."""
        for name in worker.services:
            self.services.setdefault(name, Service(name)).join(worker)
        self._dispatch_queued(worker)

    def finish(self, flight: Flight, response: messages.Response | None) -> None:
        """Be told that a worker is done with ``flight``: its room is free again.

        To be called once for each dispatched flight, also for one that was abandoned; the
        response, None from a handler that was stopped, is then dropped.
        """
        worker = flight.worker
        assert worker is not None
        worker.busy -= 1
        flight.service.in_flight -= 1
        if flight.ended:
            self.counters.late += response is not None
        elif response is None:
            self._refuse(flight, self._stopped(flight))
        else:
            self.counters.answered += 1
            self._close(flight)
            self._reply(flight, response)
        if self.queued_bytes:
            self._dispatch_queued(worker)

    # -- clients -----------------------------------------------------------------------

    def receive(self, address: bytes, items: Sequence[Item], now: float, size: int) -> None:
        """Take in one message of a native peer: ``size`` bytes, decoded to ``items``."""
        peer = self._peers.get(address) or self._greet(address, items[0], now)
        if peer is None:
            return
        thorough = size > self._part_bytes
        for item in items:
            kind = type(item)
            if kind is Call:
                self._take(peer, item, None, now, thorough=thorough)  # type: ignore[arg-type]
            elif kind is Cancel:
                self._cancel(peer, item.id)  # type: ignore[union-attr]
            elif kind is Goaway:
                self.lose(address)
                return
            elif kind is not Heartbeat and kind is not Hello:
                self.counters.unexpected += 1

    def receive_foreign(
        self, address: bytes, call: Call, return_path: ReturnPath, now: float
    ) -> None:
        """Take in one call of another dialect, to be answered by ``return_path``."""
        peers = self._foreign_peers.setdefault(address, {})
        peer = peers.get(return_path.envelope)
        if peer is None:
            peer = Peer(address, return_path.dialect, return_path.envelope)
            peers[return_path.envelope] = peer
        call.id = next(self._foreign_ids)
        self._take(peer, call, return_path, now, thorough=True)

    def refuse_malformed(
        self, address: bytes, return_path: ReturnPath, status: int, detail: str
    ) -> None:
        """Answer what was no proper call, but told how it can be answered."""
        self.counters.malformed += 1
        refusal = problem(status, detail, executed="no")
        item = Response(0, refusal.status, refusal.headers, refusal.body)
        self._outbox.messages.append((address, return_path.encode(item)))

    def lose(self, address: bytes) -> None:
        """Be told that nobody is at ``address`` any more: its calls are given up."""
        gone = list(self._foreign_peers.pop(address, {}).values())
        if address in self._peers:
            gone.append(self._peers.pop(address))
        for peer in gone:
            for flight in list(peer.flights.values()):
                self._give_up(flight)

    def _greet(self, address: bytes, first: Item, now: float) -> Peer | None:
        if type(first) is not Hello:
            # A client of the broker that was here before us: tell it that that one is gone.
            self._say(address, Goaway("unknown"))
        elif first.version != VERSION:
            self._say(address, Goaway("version"))
        else:
            if not self._peers:
                self._next_heartbeat = now + self.limits.heartbeat
            self._peers[address] = Peer(address, first.instance[:MAX_INSTANCE])
            self._say(address, self._hello)
            if self.is_draining:
                self._say(address, Goaway("draining"))
        return self._peers.get(address)

    def _say(self, address: bytes, item: Item) -> None:
        batch = self._outbox.items.get(address)
        if batch is None:
            self._outbox.items[address] = [item]
        else:
            batch.append(item)

    # -- a call's way in ---------------------------------------------------------------

    def _take(
        self, peer: Peer, call: Call, return_path: ReturnPath | None, now: float, *, thorough: bool
    ) -> None:
        if call.id in peer.flights:
            self.counters.unexpected += 1
            return
        call.principal = None  # a client's word for who it is counts for nothing
        name = _service_of(call.target)
        service = self.services.get(name)
        deadline = now + min(call.ttl / 1000, self.limits.max_ttl)
        flight = Flight(peer, call, deadline, service or Service(name), return_path)
        peer.flights[call.id] = flight
        self._deadlines.add(deadline, flight)
        self.counters.calls += 1
        self.in_flight += 1
        refusal = self._why_not(flight, now, thorough=thorough)
        if refusal is not None:
            self._refuse(flight, refusal)
        elif worker := flight.service.pick():
            self._dispatch(flight, worker)
        else:
            self._queue(flight)

    def _why_not(self, flight: Flight, now: float, *, thorough: bool) -> messages.Response | None:
        """Return the broker's own response, or None if the call is a worker's to answer."""
        # Empty header fields take no room: a small message may hold too many of them.
        thorough = thorough or len(flight.call.headers) > self.limits.header_fields
        if thorough and (oversize := find_oversize(flight.call, self.limits)):
            return self._problem(flight, *oversize)
        if not flight.service.workers:
            return self._answer_itself(flight)
        if flight.deadline <= now:
            return self._expiry(flight)
        if self.is_draining:
            return self._draining(flight)
        if len(flight.peer.flights) > self.limits.client_calls:
            return self._busy(flight, 429, "this client has too many calls in flight")
        return None

    def _answer_itself(self, flight: Flight) -> messages.Response:
        name, call = flight.service.name, flight.call
        if mmi.is_mmi(name):
            return mmi.answer(name, call, self.services)
        if not call.target.startswith("/"):
            return self._problem(flight, 400, "a path starts with /")
        return self._problem(flight, 404, f"no service {name!r} here")

    def _dispatch(self, flight: Flight, worker: Worker) -> None:
        flight.worker = worker
        worker.busy += 1
        flight.service.in_flight += 1
        self._outbox.dispatched.append(flight)

    def _queue(self, flight: Flight) -> None:
        limits, queue, size = self.limits, flight.service.queue, size_of(flight.call)
        if (
            queue.count >= limits.service_calls
            or queue.bytes + size > limits.service_bytes
            or self.queued_bytes + size > limits.broker_bytes
        ):
            refusal = self._busy(flight, 503, f"service {flight.service.name} is overloaded")
            self._refuse(flight, refusal)
        elif flight.peer.queued_bytes + size > limits.client_bytes:
            refusal = self._busy(flight, 429, "this client has too many bytes waiting")
            self._refuse(flight, refusal)
        else:
            flight.size = size
            self.queued_bytes += size
            queue.push(flight)

    def _dispatch_queued(self, worker: Worker) -> None:
        while worker.has_room and (flight := self._next_queued(worker)):
            self.queued_bytes -= flight.size
            self._dispatch(flight, worker)

    def _next_queued(self, worker: Worker) -> Flight | None:
        names = worker.services
        for turn, name in enumerate(names, 1):
            if flight := self.services[name].queue.pop():
                worker.services = names[turn:] + names[:turn]  # next time the others are first
                return flight
        return None

    # -- a call's way out --------------------------------------------------------------

    def _close(self, flight: Flight) -> None:
        """Take the call out of everything but its worker. Every call passes here, once."""
        flight.ended = True
        self.in_flight -= 1
        self._deadlines.forget()
        flight.call.body = b""  # the record stays in the heap of deadlines for a while
        peer = flight.peer
        del peer.flights[flight.call.id]
        if flight.worker is None and flight.size:
            flight.service.queue.leave(flight)
            self.queued_bytes -= flight.size
        if peer.envelope is not None and not peer.flights:
            self._forget_foreign(peer, peer.envelope)

    def _forget_foreign(self, peer: Peer, envelope: tuple[bytes, ...]) -> None:
        peers = self._foreign_peers.get(peer.address, {})
        peers.pop(envelope, None)
        if not peers:
            self._foreign_peers.pop(peer.address, None)

    def _reply(self, flight: Flight, response: messages.Response) -> None:
        item = Response(flight.call.id, response.status, response.headers, response.body)
        peer = flight.peer
        if flight.return_path is None:
            peer.was_told = True
            self._say(peer.address, item)
        else:
            self._outbox.messages.append((peer.address, flight.return_path.encode(item)))

    def _stop(self, flight: Flight) -> None:
        self._close(flight)
        if flight.worker is not None:
            self._outbox.abandoned.append(flight)

    def _refuse(self, flight: Flight, response: messages.Response) -> None:
        self.counters.refused += 1
        self._close(flight)
        self._reply(flight, response)

    def _give_up(self, flight: Flight) -> None:
        self.counters.cancelled += 1
        self._stop(flight)

    def _cancel(self, peer: Peer, call_id: int) -> None:
        flight = peer.flights.get(call_id)
        if flight is not None:  # else it has just been answered
            self._give_up(flight)

    def _busy(self, flight: Flight, status: int, detail: str) -> messages.Response:
        response = self._problem(flight, status, detail)
        response.headers["retry-after-ms"] = str(self.limits.retry_after_ms)
        return response

    def _draining(self, flight: Flight) -> messages.Response:
        return self._busy(flight, 503, "this server is draining: call another")

    def _expiry(self, flight: Flight) -> messages.Response:
        executed: Executed = "no" if flight.worker is None else "maybe"
        return problem(504, "deadline exceeded", executed=executed, request_id=flight.request_id)

    def _stopped(self, flight: Flight) -> messages.Response:
        detail = "the worker was stopped while it had the call"
        return problem(502, detail, executed="maybe", request_id=flight.request_id)

    def _problem(self, flight: Flight, status: int, detail: str) -> messages.Response:
        return problem(status, detail, executed="no", request_id=flight.request_id)

    # -- time --------------------------------------------------------------------------

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest; infinity if nothing is expected."""
        return min(self._deadlines.next, self._next_heartbeat)

    def tick(self, now: float) -> None:
        """Let time pass: end what is due, and say that we live to who heard nothing."""
        for flight in self._deadlines.due(now):
            self.counters.expired += 1
            expiry = self._expiry(flight)
            self._stop(flight)
            self._reply(flight, expiry)
        if now >= self._next_heartbeat:
            self._beat(now)

    def _beat(self, now: float) -> None:
        for peer in self._peers.values():
            if not peer.was_told:
                self._say(peer.address, Heartbeat())
            peer.was_told = False
        self._next_heartbeat = now + self.limits.heartbeat if self._peers else float("inf")

    def drain(self) -> None:
        """Take no new calls from now on, and say so to every native peer."""
        self.is_draining = True
        for address in self._peers:
            self._say(address, Goaway("draining"))

    def give_up_all(self) -> None:
        """Stop and answer every call that is in flight: the time for draining is over."""
        foreign = [peer for peers in self._foreign_peers.values() for peer in peers.values()]
        for peer in [*self._peers.values(), *foreign]:
            for flight in list(peer.flights.values()):
                self._turn_out(flight)

    def _turn_out(self, flight: Flight) -> None:
        if flight.worker is None:
            self._refuse(flight, self._draining(flight))
        else:
            self._outbox.abandoned.append(flight)
            self._refuse(flight, self._stopped(flight))


def _service_of(target: str) -> str:
    """Return the first segment of the path; ``""`` of a target that is none."""
    if target[:1] != "/":
        return ""
    end = target.find("/", 1)
    name = target[1:end] if end > 0 else target[1:]
    return name if "?" not in name else name.partition("?")[0]
