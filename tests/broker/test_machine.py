"""Whatever happens in whatever order, the broker agrees with a model of a few dictionaries.

Every call ends at most once, and only its caller gets a response, with its id. The queued calls,
the calls in flight and those at workers match the model; when all have ended, nothing is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trizmq import messages
from trizmq.bounds import size_of
from trizmq.broker.clients import ForeignPeer, NativePeer
from trizmq.broker.engine import Broker
from trizmq.calls import Work
from trizmq.limits import Limits
from trizmq.wire import reading as dialects
from trizmq.wire.items import VERSION, Call, Cancel, Goaway, Hello, Response
from trizmq.wire.reading import ForeignCall

if TYPE_CHECKING:
    from trizmq.broker.calls import Flight

#: The caller, and the name of the call in its response: the id, or the service frame.
Key: TypeAlias = tuple[bytes, int | bytes]

NATIVE = [b"a", b"b", b"c"]
FOREIGN = [b"f", b"g"]
SERVICES = ["users", "orders", "nobody"]
LIMITS = Limits(client_calls=4, service_calls=3, service_bytes=4000, client_bytes=3000)


class BrokerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker(LIMITS, instance="broker")
        self.frontend = self.broker.add_frontend()
        self.workers = [
            self.broker.add_worker(["users", "orders"], 2),
            self.broker.add_worker(["orders"], 1),
        ]
        self.now = 0.0
        self.foreign_count = 0
        self.known: set[bytes] = set()
        self.live: dict[Key, tuple[str, int]] = {}  # service and size of calls without a response
        self.running: dict[Key, Flight] = {}  # dispatched, without a response
        self.busy: list[tuple[Key, Flight]] = []  # dispatched and not finished

    # -- events ------------------------------------------------------------------------

    @rule(address=st.sampled_from(NATIVE), version=st.sampled_from([VERSION, VERSION, VERSION + 1]))
    def hello(self, address: bytes, version: int) -> None:
        self.frontend.receive(address, [Hello(version, "c")], self.now, 1)
        if version == VERSION:
            self.known.add(address)

    @rule(
        address=st.sampled_from(NATIVE),
        call_id=st.integers(0, 6),
        service=st.sampled_from(SERVICES),
        ttl=st.integers(-1, 5),
        size=st.integers(0, 900),
    )
    def call(self, address: bytes, call_id: int, service: str, ttl: int, size: int) -> None:
        call = Call(call_id, ttl * 1000, "POST", f"/{service}", {}, bytes(size))
        if address in self.known:
            self.live.setdefault((address, call_id), (service, size_of(Work(call, 0, ""))))
        self.frontend.receive(address, [call], self.now, 2000)

    @rule(address=st.sampled_from(FOREIGN), service=st.sampled_from(SERVICES), queue=st.booleans())
    def foreign_call(self, address: bytes, service: str, *, queue: bool) -> None:
        self.foreign_count += 1
        head = b"POST /%s/%d" % (service.encode(), self.foreign_count)
        found = dialects.read([b"q"] * queue + [b"", b"MDPC01", head, b""])
        assert isinstance(found, ForeignCall)
        self.live[address, head] = (service, size_of(Work(found.call, 0, "")))
        self.frontend.receive_foreign(address, found.call, found.return_path, self.now)

    @rule(address=st.sampled_from(NATIVE), call_id=st.integers(0, 6))
    def cancel(self, address: bytes, call_id: int) -> None:
        self.frontend.receive(address, [Cancel(call_id)], self.now, 1)
        self.forget([(address, call_id)])

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), stopped=st.booleans())
    def finish(self, data: st.DataObject, *, stopped: bool) -> None:
        _, flight = self.busy.pop(data.draw(st.integers(0, len(self.busy) - 1)))
        self.broker.finish(flight, None if stopped else own_response(flight), self.now)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0]))
    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.broker.tick(self.now)
        assert self.broker.next_tick > self.now

    @rule(address=st.sampled_from([*NATIVE, *FOREIGN]), says_goodbye=st.booleans())
    def lose(self, address: bytes, *, says_goodbye: bool) -> None:
        if says_goodbye and address in NATIVE:
            self.frontend.receive(address, [Goaway("closing")], self.now, 1)
        else:
            self.frontend.lose(address, self.now)
        self.known.discard(address)
        self.forget([key for key in self.live if key[0] == address])

    @rule(chance=st.integers(0, 20))
    def drain(self, chance: int) -> None:
        if chance == 0:
            self.broker.drain()

    @rule(chance=st.integers(0, 10))
    def give_up_all(self, chance: int) -> None:
        if chance == 0:
            self.broker.give_up_all(0.0)
            self.hear()
            assert not self.live

    # -- invariants --------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        self.hear()
        self.agrees()
        self.nothing_waits_where_there_is_room()
        self.counts_add_up()

    def hear(self) -> None:
        """Collect the broker's actions, and compare them with the model."""
        outbox = self.broker.take_outbox()
        for flight in outbox.started:
            self.note_dispatch(flight)
        for flight in outbox.stopped:
            assert flight.ended
            assert flight in [busy for _, busy in self.busy]
        for address, batch in self.frontend.outbox.take_items().items():
            for item in batch:
                if isinstance(item, Response):
                    self.hear_one((address, item.id), item.status, item.body)
        for address, frames in self.frontend.outbox.take_messages():
            head, body = frames[-2:]
            self.hear_one((address, head), 299 if body.isdigit() else 0, body)

    def note_dispatch(self, flight: Flight) -> None:
        head = flight.return_path.service if flight.return_path else flight.id
        assert isinstance(flight.peer, NativePeer | ForeignPeer)
        key = (flight.peer.address, head)
        # It may have ended since, in the same pass; but it is dispatched once, and in time.
        assert flight not in [busy for _, busy in self.busy]
        assert flight.deadline > self.now or flight.ended
        self.busy.append((key, flight))
        if not flight.ended:
            self.running[key] = flight

    def hear_one(self, key: Key, status: int, body: Any) -> None:
        assert key in self.live, "a response without a call, or a second one"
        if status == 299:
            assert body == own_response(self.running[key]).body
        else:
            executed = orjson.loads(body)["executed"]
            assert executed == ("maybe" if key in self.running else "no")
        self.forget([key])

    def forget(self, keys: list[Key]) -> None:
        for key in keys:
            self.live.pop(key, None)
            self.running.pop(key, None)

    def agrees(self) -> None:
        broker, queued = self.broker, self.live.keys() - self.running.keys()
        assert broker.in_flight == len(self.live)
        assert broker.queued_bytes == sum(self.live[key][1] for key in queued)
        for worker in self.workers:
            at_work = [flight for _, flight in self.busy if flight.worker is worker]
            assert worker.busy == len(at_work) <= worker.capacity
        for name, service in broker.services.items():
            waiting = [self.live[key][1] for key in queued if self.live[key][0] == name]
            assert (service.queue.count, service.queue.bytes) == (len(waiting), sum(waiting))
            assert service.queue.count <= LIMITS.service_calls
            assert service.queue.bytes <= LIMITS.service_bytes
            assert service.in_flight == sum(flight.service is service for _, flight in self.busy)

    def nothing_waits_where_there_is_room(self) -> None:
        for worker in self.workers:
            if worker.busy < worker.capacity:
                assert not any(self.broker.services[name].queue.count for name in worker.services)

    def counts_add_up(self) -> None:
        c = self.broker.counters
        ended = c.answered + c.refused + c.expired + c.cancelled + c.lost
        assert c.calls == ended + self.broker.in_flight

    def teardown(self) -> None:
        self.now += 100
        self.broker.tick(self.now)
        self.hear()
        assert not self.live
        while self.busy:
            self.broker.finish(self.busy.pop()[1], None, self.now)
        broker = self.broker
        assert (broker.in_flight, broker.queued_bytes, self.frontend.clients.foreign) == (0, 0, {})
        assert [worker.busy for worker in self.workers] == [0, 0]
        assert not any(service.queue._lines for service in broker.services.values())
        assert not any(
            peer.flights or peer.connection.queued_bytes
            for peer in self.frontend.clients.native.values()
        )
        assert broker._dispatcher.calls.deadlines._live == 0


def own_response(flight: Flight) -> messages.Response:
    """Return a response that no other flight has."""
    return messages.Response(299, body=b"%d" % id(flight))


TestBrokerMachine = BrokerMachine.TestCase
TestBrokerMachine.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
