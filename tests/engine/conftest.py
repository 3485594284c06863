"""Shared by the tests of `trizmq.engine`: a broker, or a client, on plain numbers for time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import orjson
import pytest

from trizmq import messages
from trizmq.engine.broker import Broker
from trizmq.engine.client import Client
from trizmq.engine.limits import Limits
from trizmq.engine.links import Pending
from trizmq.engine.records import Flight, Worker
from trizmq.wire.items import VERSION, Call, Hello, Response

if TYPE_CHECKING:
    from trizmq.engine.links import Link
    from trizmq.wire.items import Item

OK = messages.Response(200, body=b'"ok"')


class BrokerRig:
    """A broker with one worker, and all that it has said so far.

    Every step checks what must always hold: the counters add up, the worker's room is kept.
    """

    def __init__(
        self, *, capacity: int = 1, services: tuple[str, ...] = ("users",), **limits: Any
    ) -> None:
        self.broker = Broker(Limits(**limits), instance="broker")
        self.worker = Worker(services, capacity)
        self.broker.join(self.worker)
        self.now = 0.0
        self.items: list[tuple[bytes, Item]] = []
        self.messages: list[tuple[bytes, list[bytes]]] = []
        self.dispatched: list[Flight] = []
        self.abandoned: list[Flight] = []

    def act(self) -> None:
        """Collect what the broker wants done, and check it."""
        outbox = self.broker.take_outbox()
        self.items += [(to, item) for to, batch in outbox.items.items() for item in batch]
        self.messages += outbox.messages
        self.dispatched += outbox.dispatched
        self.abandoned += outbox.abandoned
        assert self.broker.take_outbox().is_empty
        self.check()

    def check(self) -> None:
        counts = self.broker.counters
        ended = counts.answered + counts.refused + counts.expired + counts.cancelled + counts.lost
        assert counts.calls == ended + self.broker.in_flight
        assert 0 <= self.worker.busy <= self.worker.capacity

    def receive(self, *items: Item, address: bytes = b"a", size: int = 100_000) -> None:
        self.broker.receive(address, items, self.now, size)
        self.act()

    def greet(self, *addresses: bytes) -> None:
        """Let clients say hello, and forget the answers."""
        for address in addresses:
            self.receive(Hello(VERSION, address.decode()), address=address)
        self.items.clear()

    def call(self, call_id: int, target: str = "/users", **details: Any) -> None:
        """Send one call; ``address``, ``size`` and any field of `Call` may be given."""
        where = {key: details.pop(key) for key in ("address", "size") if key in details}
        fields: dict[str, Any] = {"ttl": 30_000, "method": "POST", "headers": {}, "body": b""}
        self.receive(Call(call_id, target=target, **(fields | details)), **where)

    def finish(self, flight: Flight, response: messages.Response | None = OK) -> None:
        self.broker.finish(flight, response)
        self.act()

    def tick(self, now: float) -> None:
        self.now = now
        self.broker.tick(now)
        self.act()

    def answers(self, address: bytes = b"a") -> list[tuple[int, int]]:
        """Take the responses to ``address`` so far: (call's id, status)."""
        return [(response.id, response.status) for response in self.responses(address)]

    def responses(self, address: bytes = b"a") -> list[Response]:
        found = [item for to, item in self.items if to == address and isinstance(item, Response)]
        self.items = [(to, item) for to, item in self.items if item not in found]
        return found

    def assert_nothing_is_left(self) -> None:
        broker = self.broker
        assert (broker.in_flight, broker.queued_bytes) == (0, 0)
        assert broker._clients.foreign == {}
        assert all(
            not peer.flights and not peer.queued_bytes for peer in broker._clients.native.values()
        )
        assert self.worker.busy == 0
        for service in broker.services.values():
            assert (service.in_flight, service.queue.count, service.queue.bytes) == (0, 0, 0)
            assert not service.queue._lines


class ClientRig:
    """A client's engine with a link for each endpoint, and what has ended so far."""

    def __init__(self, *endpoints: str) -> None:
        self.client = Client(endpoints or ("one",), instance="client", now=0.0)
        self.links = self.client.links
        self.now = 0.0
        self.ended: list[Pending] = []
        self.reopened: list[Link] = []
        for link in self.links:
            self.sent(link)

    def act(self) -> None:
        outbox = self.client.take_outbox()
        self.ended += outbox.ended
        self.reopened += outbox.reopen

    def sent(self, link: Link) -> list[Item]:
        """Take what goes out on ``link``, as the driver does."""
        items = link.outgoing[:]
        link.outgoing.clear()
        return items

    def receive(self, link: Link, *items: Item) -> None:
        self.client.receive(link, items, self.now)
        self.act()

    def welcome(self, *links: Link, credit: int = 10) -> None:
        """Let brokers answer our hello."""
        for link in links:
            self.receive(link, Hello(VERSION, "broker", credit))

    def submit(self, method: str = "POST", target: str = "/users", **fields: Any) -> Pending:
        details: dict[str, Any] = {"headers": {}, "body": b""}
        details |= {"deadline": self.now + 30, "is_timed": True} | fields
        pending = Pending(method, target, waiter=lambda: None, **details)
        self.client.submit(pending, self.now)
        self.act()
        return pending

    def lose(self, link: Link) -> None:
        self.client.lose(link, self.now)
        self.act()

    def tick(self, now: float) -> None:
        self.now = now
        self.client.tick(now)
        self.act()

    def pass_time(self, until: float) -> None:
        """Tick whenever the client wants to, as the driver does."""
        while self.client.next_tick <= until:
            self.tick(max(self.now, self.client.next_tick))
        self.now = until

    def assert_nothing_is_left(self) -> None:
        client = self.client
        assert (client.in_flight, client.waiting, client._waiting_bytes) == (0, 0, 0)
        assert client._deadlines._live == 0


class MakeBroker(Protocol):
    def __call__(
        self, *, capacity: int = 1, services: tuple[str, ...] = ("users",), **limits: Any
    ) -> BrokerRig: ...


class MakeClient(Protocol):
    def __call__(self, *endpoints: str) -> ClientRig: ...


class ReadProblem(Protocol):
    def __call__(self, response: Response | messages.Response) -> dict[str, Any]: ...


@pytest.fixture
def make_broker() -> MakeBroker:
    return BrokerRig


@pytest.fixture
def make_client() -> MakeClient:
    return ClientRig


@pytest.fixture
def rig() -> BrokerRig:
    """A broker with one worker that takes one call, and a client ``a`` that has said hello."""
    rig = BrokerRig()
    rig.greet(b"a")
    return rig


@pytest.fixture
def read_problem() -> ReadProblem:
    """Check that a response is a problem document, and return that."""

    def read(response: Response | messages.Response) -> dict[str, Any]:
        assert response.headers["content-type"] == messages.PROBLEM
        assert isinstance(response.body, bytes)
        document: dict[str, Any] = orjson.loads(response.body)
        assert document["status"] == response.status
        assert document["title"] == messages.reason_phrase(response.status)
        return document

    return read
