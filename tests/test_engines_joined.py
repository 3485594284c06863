"""Clients and brokers, joined by an in-memory network that is cut, with brokers that die.

Phase one does anything to them and checks safety: no call ends twice, no plain call reaches two
workers, and "not executed" is true. Phase two heals the network and lets time pass: then every
call has ended, and no engine has any state left.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from trizmq import messages
from trizmq.broker.engine import Broker
from trizmq.client.engine import Client
from trizmq.client.links import Pending
from trizmq.errors import CallError
from trizmq.limits import Limits
from trizmq.retries import MAX_ATTEMPTS

if TYPE_CHECKING:
    from trizmq.broker.calls import Flight
    from trizmq.client.links import Link
    from trizmq.wire.items import Item

ENDPOINTS = ("one", "two")
LIMITS = Limits(client_calls=3, service_calls=2)

#: Client's number, endpoint.
Wire: TypeAlias = tuple[int, str]


class Server:
    """One run of one broker, its worker, and the calls that were dispatched."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.broker = Broker(LIMITS, instance=name)
        self.frontend = self.broker.add_frontend()
        self.broker.add_worker(["users"], 2)
        self.busy: list[Flight] = []


class Joined(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.serial = count()
        self.servers: dict[str, Server | None] = {}
        self.clients = [
            Client(ENDPOINTS, instance=f"c{n}", secret=f"s{n}", now=0.0) for n in range(2)
        ]
        #: Items that a broker has not read yet, from a connection that has ended.
        self.stale: list[tuple[Server, bytes, list[Item]]] = []
        self.addresses: dict[Wire, bytes] = {}
        self.up: dict[Wire, list[Item]] = {}  # in transit to a broker
        self.down: dict[Wire, list[Item]] = {}  # in transit to a client
        self.started: Counter[str] = Counter()
        self.lives: Counter[tuple[str, str]] = Counter()
        self.pendings: list[Pending] = []
        self.owners: dict[int, Client] = {}
        self.ends: Counter[int] = Counter()
        self.given_up: set[int] = set()
        for endpoint in ENDPOINTS:
            self.start(endpoint)
            for number in range(len(self.clients)):
                self.connect((number, endpoint))

    # -- possible events ---------------------------------------------------------------

    @rule(
        number=st.integers(0, 1),
        method=st.sampled_from(["POST", "POST", "GET"]),
        seconds=st.sampled_from([0.5, 2.0, 8.0, 30.0]),
        is_timed=st.booleans(),
    )
    def submit(self, number: int, method: str, seconds: float, *, is_timed: bool) -> None:
        target = f"/users/{len(self.pendings)}"
        pending = Pending(method, target, {}, b"", self.now + seconds, is_timed, lambda: None)
        self.pendings.append(pending)
        self.owners[id(pending)] = self.clients[number]
        self.clients[number].submit(pending, self.now)

    @precondition(lambda self: self.pendings)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        pending = self.pendings[data.draw(st.integers(0, len(self.pendings) - 1))]
        if not pending.ended:
            self.given_up.add(id(pending))
        self.owners[id(pending)].cancel(pending)

    @rule(number=st.integers(0, 1), endpoint=st.sampled_from(ENDPOINTS))
    def deliver(self, number: int, endpoint: str) -> None:
        self.carry((number, endpoint))

    @precondition(lambda self: any(server and server.busy for server in self.servers.values()))
    @rule(data=st.data(), stopped=st.booleans())
    def finish(self, data: st.DataObject, *, stopped: bool) -> None:
        servers = [server for server in self.servers.values() if server and server.busy]
        server = data.draw(st.sampled_from(servers))
        flight = server.busy.pop(data.draw(st.integers(0, len(server.busy) - 1)))
        server.broker.finish(flight, None if stopped else messages.Response(200), self.now)
        self.act()

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def advance(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule(
        number=st.integers(0, 1),
        endpoint=st.sampled_from(ENDPOINTS),
        arrive=st.sampled_from([0, 1, 100]),
        is_noticed=st.booleans(),
    )
    def cut(self, number: int, endpoint: str, arrive: int, *, is_noticed: bool) -> None:
        """Break a connection; some items in transit are lost, some are read later."""
        self.act()
        wire, server = (number, endpoint), self.servers[endpoint]
        address = self.addresses.get(wire)
        if address is not None and server:
            self.stale.append((server, address, self.up[wire][:arrive]))
            if is_noticed:
                server.frontend.miss(address, [], self.now)
            down = self.down[wire][:arrive]
            if down:
                self.clients[number].receive(self.link(wire), down, self.now)
        self.disconnect(wire)

    @rule(number=st.integers(0, 1), endpoint=st.sampled_from(ENDPOINTS))
    def connect_again(self, number: int, endpoint: str) -> None:
        self.connect((number, endpoint))

    @precondition(lambda self: self.stale)
    @rule()
    def read_late(self) -> None:
        server, address, items = self.stale.pop(0)
        if items and server in self.servers.values():
            server.frontend.receive(address, items, self.now, 5000)
            self.act()

    @rule(endpoint=st.sampled_from(ENDPOINTS))
    def kill(self, endpoint: str) -> None:
        self.act()
        self.servers[endpoint] = None
        for number in range(len(self.clients)):
            self.disconnect((number, endpoint))

    @rule(endpoint=st.sampled_from(ENDPOINTS))
    def revive(self, endpoint: str) -> None:
        if self.servers[endpoint] is None:
            self.start(endpoint)

    @rule(endpoint=st.sampled_from(ENDPOINTS))
    def drain(self, endpoint: str) -> None:
        server = self.servers[endpoint]
        if server:
            server.broker.drain()
            self.act()

    # -- the network -------------------------------------------------------------------

    def start(self, endpoint: str) -> None:
        self.servers[endpoint] = Server(f"b{next(self.serial)}")

    def connect(self, wire: Wire) -> None:
        """Try to connect, if there is no connection."""
        number, endpoint = wire
        if wire in self.addresses:
            return
        client, link = self.clients[number], self.link(wire)
        if self.servers[endpoint]:
            self.addresses[wire] = b"%d" % next(self.serial)
            self.up[wire], self.down[wire] = [], []
            client.connect(link, self.now)
        else:
            client.miss(link, self.now)
            client.bury(link, self.now)
        self.act()

    def disconnect(self, wire: Wire) -> None:
        if self.addresses.pop(wire, None) is not None:
            self.up[wire], self.down[wire] = [], []
            self.clients[wire[0]].disconnect(self.link(wire), self.now)
            self.act()

    def link(self, wire: Wire) -> Link:
        number, endpoint = wire
        return next(link for link in self.clients[number].links.taking if link.endpoint == endpoint)

    def carry(self, wire: Wire) -> None:
        """Deliver everything in transit on one connection, responses first."""
        self.act()
        number, endpoint = wire
        if wire not in self.addresses:
            return
        down, self.down[wire] = self.down[wire], []
        if down:
            self.clients[number].receive(self.link(wire), down, self.now)
            self.act()
        server = self.servers[endpoint]
        if server and wire in self.addresses and self.up[wire]:
            up, self.up[wire] = self.up[wire], []
            server.frontend.receive(self.addresses[wire], up, self.now, 5000)
        self.act()

    def act(self) -> None:
        """Carry out the actions of the engines, and check every ended call."""
        for number, client in enumerate(self.clients):
            outbox = client.take_outbox()
            for link in outbox.reopen:
                self.disconnect((number, link.endpoint))
            for pending in outbox.ended:
                self.note_end(pending)
            for link in client.links.taking:
                if (number, link.endpoint) in self.addresses:
                    self.up[number, link.endpoint] += link.outgoing
                    link.outgoing.clear()
                else:
                    assert not link.outgoing
        for endpoint, server in self.servers.items():
            if server:
                self.act_for(endpoint, server)

    def act_for(self, endpoint: str, server: Server) -> None:
        wires = {self.addresses[wire]: wire for wire in self.addresses if wire[1] == endpoint}
        broker, sent = server.broker, server.frontend.outbox
        while not (broker.context.outbox.is_empty and sent.is_empty):
            for flight in broker.take_outbox().started:
                self.note_dispatch(flight, server)
                server.busy.append(flight)
            for address, items in sent.take_items().items():
                if address in wires:
                    self.down[wires[address]] += items
                else:
                    server.frontend.miss(address, items, self.now)

    def pass_time(self, seconds: float) -> None:
        """Tick the engines that are due, at their times."""
        end = self.now + seconds
        brokers = [server.broker for server in self.servers.values() if server]
        engines: list[Client | Broker] = [*self.clients, *brokers]
        while True:
            self.act()
            when = min(engine.next_tick for engine in engines)
            self.now = min(max(self.now, when), end)
            if when > end:
                return
            for engine in engines:
                if engine.next_tick <= self.now:
                    engine.tick(self.now)

    # -- invariants --------------------------------------------------------------------

    def note_dispatch(self, flight: Flight, server: Server) -> None:
        target = flight.target
        self.lives[server.name, target] += 1
        assert self.lives[server.name, target] == 1, "it was sent twice to one life of a broker"
        self.started[target] += 1
        assert self.started[target] <= (1 if flight.method == "POST" else MAX_ATTEMPTS)

    def note_end(self, pending: Pending) -> None:
        self.ends[id(pending)] += 1
        assert self.ends[id(pending)] == 1, "it has ended twice"
        assert id(pending) not in self.given_up, "it was given up, and ended all the same"
        # A broker reports about its own attempt, the client about all attempts.
        if executed(pending) == "no" and (pending.attempts <= 1 or is_ours(pending)):
            assert not self.started[pending.target]
        if pending.is_timed:
            assert self.now <= pending.deadline

    def teardown(self) -> None:
        self.act()
        for endpoint, server in self.servers.items():
            if server is None or server.broker.is_draining:
                self.kill(endpoint)
                self.start(endpoint)
        for _ in range(80):
            for wire in self.up:
                self.connect(wire)
                self.carry(wire)
            for server in self.servers.values():
                while server and server.busy:
                    server.broker.finish(server.busy.pop(), messages.Response(200), self.now)
                    self.act()
            self.pass_time(0.5)
        assert all(pending.ended for pending in self.pendings)
        assert all(
            self.ends[id(pending)] + (id(pending) in self.given_up) == 1
            for pending in self.pendings
        )
        for client in self.clients:
            assert (client.links.in_flight, client.calls.waiting.count, client._waiting.bytes) == (
                0,
                0,
                0,
            )
            assert client.is_connected
        for server in self.servers.values():
            assert server
            assert (server.broker.in_flight, server.broker.queued_bytes) == (0, 0)
            assert not any(peer.flights for peer in server.frontend.clients.native.values())
            assert server.frontend.clients.native.keys() <= set(self.addresses.values())
            assert not server.frontend._absence._bytes


def is_ours(pending: Pending) -> bool:
    """Return whether the client itself ended the call."""
    return isinstance(pending.outcome, CallError)


def executed(pending: Pending) -> str:
    """Return what the caller learns about whether a handler ran."""
    outcome = pending.outcome
    if isinstance(outcome, CallError):
        return outcome.executed
    assert isinstance(outcome, messages.Response)
    return str(orjson.loads(outcome.body)["executed"]) if outcome.is_error else "yes"


TestJoined = Joined.TestCase
TestJoined.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
