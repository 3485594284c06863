"""Rigs for the broker's engine, with plain numbers for time: with the local worker or a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import orjson
import pytest

from trizmq import messages
from trizmq.broker.engine import Broker
from trizmq.limits import Limits
from trizmq.wire import mdp, native
from trizmq.wire.items import VERSION, Call, Hello, Response
from trizmq.wire.mdp import MDP

if TYPE_CHECKING:
    from trizmq.broker.calls import Flight
    from trizmq.hook_values import Event
    from trizmq.wire.items import Item

OK = messages.Response(200, body=b'"ok"')


class BrokerRig:
    """A broker with one worker, and everything that it has sent so far.

    Every step checks the invariants: the counters add up, and the worker's capacity is kept.
    """

    def __init__(
        self, *, capacity: int = 1, services: tuple[str, ...] = ("users",), **limits: Any
    ) -> None:
        self.broker = Broker(Limits(**limits), instance="broker")
        self.frontend = self.broker.add_frontend()
        self.worker = self.broker.add_worker(services, capacity)
        self.now = 0.0
        self.items: list[tuple[bytes, Item]] = []
        self.messages: list[tuple[bytes, list[bytes]]] = []
        self.started: list[Flight] = []
        self.stopped: list[Flight] = []

    def act(self) -> None:
        """Collect and check the broker's actions."""
        outbox, sent = self.broker.take_outbox(), self.frontend.outbox
        self.items += [(to, item) for to, batch in sent.take_items().items() for item in batch]
        self.messages += sent.take_messages()
        self.started += outbox.started
        self.stopped += outbox.stopped
        assert self.broker.take_outbox().is_empty
        assert sent.is_empty
        self.check()

    def check(self) -> None:
        counts = self.broker.counters
        ended = counts.answered + counts.refused + counts.expired + counts.cancelled + counts.lost
        assert counts.calls == ended + self.broker.in_flight
        assert 0 <= self.worker.busy <= self.worker.capacity

    def receive(self, *items: Item, address: bytes = b"a", size: int = 100_000) -> None:
        self.frontend.receive(address, items, self.now, size)
        self.act()

    def greet(self, *addresses: bytes) -> None:
        """Let clients send their hellos, and forget the responses."""
        for address in addresses:
            self.receive(Hello(VERSION, address.decode()), address=address)
        self.items.clear()

    def call(self, call_id: int, target: str = "/users", **details: Any) -> None:
        """Send a call; ``address``, ``size`` and any field of `Call` can be given."""
        where = {key: details.pop(key) for key in ("address", "size") if key in details}
        fields: dict[str, Any] = {"ttl": 30_000, "method": "POST", "headers": {}, "body": b""}
        self.receive(Call(call_id, target=target, **(fields | details)), **where)

    def finish(self, flight: Flight, response: messages.Response | None = OK) -> None:
        self.broker.finish(flight, response, self.now)
        self.act()

    def tick(self, now: float) -> None:
        self.now = now
        self.broker.tick(now)
        self.act()

    def answers(self, address: bytes = b"a") -> list[tuple[int, int]]:
        """Take the responses to ``address`` so far, as (id of the call, status)."""
        return [(response.id, response.status) for response in self.responses(address)]

    def responses(self, address: bytes = b"a") -> list[Response]:
        found = [item for to, item in self.items if to == address and isinstance(item, Response)]
        self.items = [(to, item) for to, item in self.items if item not in found]
        return found

    def assert_nothing_is_left(self) -> None:
        broker = self.broker
        assert (broker.in_flight, broker.queued_bytes) == (0, 0)
        assert broker._dispatcher.calls.held_bytes == 0
        assert self.frontend.clients.foreign == {}
        for peer in self.frontend.clients.native.values():
            assert not peer.flights
            assert not peer.connection.queued_bytes
        assert self.worker.busy == 0
        for service in broker.services.values():
            assert (service.in_flight, service.queue.count, service.queue.bytes) == (0, 0, 0)
            assert not service.queue._lines


class BackendRig:
    """A broker whose workers are on the backend, and everything that it has sent so far.

    The native client ``a`` has sent its hello. Every step checks the invariants: the counters
    add up, and each worker is as busy as it has calls.
    """

    def __init__(self, admit: Any = None, admit_reply: Any = None, **limits: Any) -> None:
        self.broker = Broker(
            Limits(**limits),
            instance="broker01",
            accepts_workers=True,
            admit=admit,
            admit_reply=admit_reply,
        )
        self.frontend = self.broker.add_frontend()
        self.backend = self.broker.add_backend()
        self.now = 0.0
        self.items: list[tuple[bytes, Item]] = []
        self.messages: list[tuple[bytes, list[bytes]]] = []
        self.told: list[tuple[bytes, Item | mdp.Command]] = []
        self.events: list[Event] = []
        self.dialects: dict[bytes, str] = {}
        self.greet(b"a")

    def act(self) -> None:
        """Collect the broker's actions, encoded as the driver does it, and check them."""
        self.events += self.broker.take_outbox().events
        sent, told = self.frontend.outbox, self.backend.outbox
        self.items += [(to, item) for to, batch in sent.take_items().items() for item in batch]
        self.messages += sent.take_messages()
        for address, batch in told.take_items().items():
            self.told += [(address, item) for item in native.decode(native.encode(batch))]
        for address, frames in told.take_messages():
            command = MDP[self.dialects[address]].decode_worker(frames)
            self.told.append((address, command))
        self.check()

    def check(self) -> None:
        broker = self.broker
        c = broker.counters
        ended = c.answered + c.refused + c.expired + c.cancelled + c.lost
        assert c.calls == ended + broker.in_flight
        for worker in broker.workers:
            assert worker.busy == len(worker.flights) <= worker.capacity
        for service in broker.services.values():
            held = [f for worker in broker.workers for f in worker.flights.values()]
            assert service.in_flight == sum(flight.service is service for flight in held)
        waiting = [service.queue.bytes for service in broker.services.values()]
        waiting += [worker.queue.bytes for worker in broker.workers]
        assert broker.queued_bytes == sum(waiting)
        called = [f for peer in self.frontend.clients.all() for f in peer.flights.values()]
        given = [f for worker in broker.workers for f in worker.flights.values()]
        assert broker._dispatcher.calls.held_bytes == sum(f.held for f in {*called, *given})

    # -- clients -----------------------------------------------------------------------

    def greet(self, *addresses: bytes) -> None:
        for address in addresses:
            self.receive(Hello(VERSION, address.decode()), address=address)
        self.items.clear()

    def receive(self, *items: Item, address: bytes = b"a") -> None:
        self.frontend.receive(address, items, self.now, 100_000)
        self.act()

    def call(self, call_id: int, target: str = "/users", **details: Any) -> None:
        """Send a call; ``address`` and any field of `Call` can be given."""
        address = details.pop("address", b"a")
        fields: dict[str, Any] = {"ttl": 30_000, "method": "POST", "headers": {}, "body": b""}
        self.receive(Call(call_id, target=target, **(fields | details)), address=address)

    def responses(self, address: bytes = b"a") -> list[Response]:
        """Take the responses to ``address`` so far."""
        found = [item for to, item in self.items if to == address and isinstance(item, Response)]
        self.items = [(to, item) for to, item in self.items if item not in found]
        return found

    def answers(self, address: bytes = b"a") -> list[tuple[int, int]]:
        """Take the responses to ``address`` so far, as (id of the call, status)."""
        return [(response.id, response.status) for response in self.responses(address)]

    # -- workers -----------------------------------------------------------------------

    def say(self, address: bytes, command: mdp.Command, dialect: str = "mdp02") -> None:
        """Receive a message from an MDP worker."""
        self.dialects.setdefault(address, dialect)
        frames = MDP[dialect].encode_worker(command)
        self.backend.receive_command(address, dialect, MDP[dialect].decode_worker(frames), self.now)
        self.act()

    def refuse(self, address: bytes, reason: str, dialect: str | None) -> None:
        """Receive a message from a worker that could not be read."""
        if dialect is not None:
            self.dialects.setdefault(address, dialect)
        self.backend.refuse_unreadable(address, dialect, reason, self.now)
        self.act()

    def work(self, address: bytes, *items: Item) -> None:
        """Receive items from a native worker."""
        self.backend.receive(address, native.decode(native.encode(items)), self.now)
        self.act()

    def employ(self, address: bytes, *services: str, capacity: int = 1) -> None:
        """Receive the hello of a native worker, and forget the response."""
        self.work(address, Hello(VERSION, address.decode(), capacity, services or ("users",)))
        limits = self.broker.limits
        window = limits.worker_bytes // 4
        hello = Hello(VERSION, "broker01", takes=limits.takes, window=window)
        self.told.remove((address, hello))

    def heard(self, address: bytes) -> list[Item | mdp.Command]:
        """Take what the worker at ``address`` has been sent so far."""
        found = [said for to, said in self.told if to == address]
        self.told = [(to, said) for to, said in self.told if to != address]
        return found

    def given(self, address: bytes) -> list[Any]:
        """Take the tokens of the calls sent to the worker at ``address``; drop everything else."""
        said = self.heard(address)
        return [
            one.id if isinstance(one, Call) else one.client
            for one in said
            if isinstance(one, Call | mdp.Request)
        ]

    def kinds(self) -> list[tuple[str, str]]:
        """Take the events so far: (kind, name)."""
        events, self.events = self.events, []
        return [(event.kind, event.name) for event in events]

    # -- both --------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        self.now = now
        self.broker.tick(now)
        self.act()

    def pass_time(self, until: float) -> None:
        """Tick whenever the broker asks for it, as the driver does."""
        while self.broker.next_tick <= until:
            self.tick(max(self.now, self.broker.next_tick))
        self.now = until


class MakeBackend(Protocol):
    def __call__(self, admit: Any = None, admit_reply: Any = None, **limits: Any) -> BackendRig: ...


class MakeBroker(Protocol):
    def __call__(
        self, *, capacity: int = 1, services: tuple[str, ...] = ("users",), **limits: Any
    ) -> BrokerRig: ...


class ReadProblem(Protocol):
    def __call__(self, response: Response | messages.Response) -> dict[str, Any]: ...


@pytest.fixture
def make_broker() -> MakeBroker:
    return BrokerRig


@pytest.fixture
def make_backend() -> MakeBackend:
    return BackendRig


@pytest.fixture
def backend() -> BackendRig:
    """A broker for workers on the backend, and a client ``a`` that has sent its hello."""
    return BackendRig()


@pytest.fixture
def rig() -> BrokerRig:
    """A broker with one worker of capacity 1, and a client ``a`` that has sent its hello."""
    rig = BrokerRig()
    rig.greet(b"a")
    return rig


@pytest.fixture
def read_problem() -> ReadProblem:
    """Check that a response is a problem document, and return the document."""

    def read(response: Response | messages.Response) -> dict[str, Any]:
        assert response.headers["content-type"] == messages.PROBLEM
        assert isinstance(response.body, bytes)
        document: dict[str, Any] = orjson.loads(response.body)
        assert document["status"] == response.status
        assert document["title"] == messages.reason_phrase(response.status)
        return document

    return read
