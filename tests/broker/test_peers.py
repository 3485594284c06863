"""The broker's clients: hello, heartbeats, loss, drain, and what happens to strangers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trizmq.wire.items import (
    VERSION,
    Call,
    Cancel,
    Credit,
    Goaway,
    Heartbeat,
    Hello,
    Item,
    Part,
    Response,
)

if TYPE_CHECKING:
    from tests.broker.conftest import BrokerRig, MakeBroker, ReadProblem


def test_the_response_to_hello_has_instance_and_credit(make_broker: MakeBroker) -> None:
    rig = make_broker(client_calls=5, client_bytes=400_000)
    rig.frontend.receive(b"a", [Hello(VERSION, "client")], 0.0, 100)
    rig.act()
    assert rig.items == [(b"a", Hello(VERSION, "broker", 5, window=100_000))]


def test_a_client_is_notified_when_its_large_calls_are_read(make_broker: MakeBroker) -> None:
    rig = make_broker(client_bytes=16 * 100_000, capacity=100)
    rig.greet(b"a")
    for call_id in range(1, 9):
        rig.call(call_id, body=bytes(40_000), size=40_100)
    heard = [item for _, item in rig.items if isinstance(item, Heartbeat)]
    assert heard == [Heartbeat(3), Heartbeat(6)]  # each time a quarter of 400,000 is read


def test_a_client_is_not_notified_of_small_calls(make_broker: MakeBroker) -> None:
    rig = make_broker(client_bytes=64 * 1024, capacity=100)
    rig.greet(b"a")
    for call_id in range(1, 101):
        rig.call(call_id, body=bytes(1000), size=1100)
    assert not rig.items


def test_the_first_message_may_contain_calls_too(make_broker: MakeBroker) -> None:
    rig = make_broker()
    rig.receive(Hello(VERSION, "c"), Call(1, 1000, "GET", "/users", {}, b""))
    assert [flight.id for flight in rig.started] == [1]


@pytest.mark.parametrize("version", [0, VERSION + 1, -1])
def test_a_client_of_another_version_is_notified(rig: BrokerRig, version: int) -> None:
    call = Call(1, 1000, "GET", "/users", {}, b"")
    rig.receive(Hello(version, "c"), call, address=b"b")
    assert rig.items == [(b"b", Goaway("version"))]
    assert not rig.started
    assert b"b" not in rig.frontend.clients.native


@pytest.mark.parametrize(
    "item",
    [Call(1, 1000, "GET", "/users", {}, b""), Heartbeat(), Cancel(1), Response(1, 200, {}, b"")],
)
def test_a_stranger_is_notified_and_its_items_are_ignored(rig: BrokerRig, item: Item) -> None:
    rig.receive(item, address=b"b")
    unseen = Goaway("unknown", 0) if isinstance(item, Call) else Goaway("unknown")
    assert rig.items == [(b"b", unseen)]
    assert not rig.started
    assert b"b" not in rig.frontend.clients.native


@pytest.mark.parametrize("item", [Response(1, 200, {}, b""), Part(1, 0, b""), Credit(1, 1)])
def test_items_that_a_client_must_not_send_are_counted(rig: BrokerRig, item: Item) -> None:
    rig.call(1)
    rig.receive(item, Heartbeat(), Hello(VERSION, "again"))
    assert rig.broker.counters.unexpected == 1
    rig.finish(rig.started[0])
    assert rig.answers() == [(1, 200)]


def test_the_length_of_an_instance_is_bounded(make_broker: MakeBroker) -> None:
    rig = make_broker()
    rig.receive(Hello(VERSION, "x" * 1_000_000))
    assert len(rig.frontend.clients.native[b"a"].instance) <= 64


def test_goodbye_cancels_the_calls_in_flight(rig: BrokerRig) -> None:
    rig.call(1)
    rig.call(2)
    rig.receive(Goaway("closing"), Call(3, 1000, "GET", "/users", {}, b""))
    assert rig.stopped == rig.started
    assert rig.broker.counters.cancelled == 2
    assert rig.frontend.clients.native == {}
    rig.finish(rig.started[0])
    assert rig.items == []
    rig.assert_nothing_is_left()


def test_losing_a_client_affects_no_other(make_broker: MakeBroker) -> None:
    rig = make_broker(capacity=2)
    rig.greet(b"a", b"b")
    rig.call(1, address=b"a")
    rig.call(1, address=b"b")
    rig.frontend.lose(b"a", rig.now)
    rig.frontend.lose(b"a", rig.now)
    rig.frontend.lose(b"nobody", rig.now)
    rig.act()
    assert rig.stopped == rig.started[:1]
    rig.finish(rig.started[0])
    rig.finish(rig.started[1])
    assert (rig.answers(b"a"), rig.answers(b"b")) == ([], [(1, 200)])
    rig.assert_nothing_is_left()


def test_only_clients_that_received_nothing_get_a_heartbeat(make_broker: MakeBroker) -> None:
    rig = make_broker(capacity=9, heartbeat=2.0)
    assert rig.broker.next_tick == float("inf")
    rig.greet(b"a", b"b")
    assert rig.broker.next_tick == 2.0
    rig.call(1, "/nobody", address=b"a")  # gets a response
    rig.call(1, address=b"b")  # in flight
    rig.items.clear()
    rig.tick(1.9)
    assert rig.items == []
    rig.tick(2.0)
    assert rig.items == [(b"b", Heartbeat())]
    rig.items.clear()
    rig.tick(4.0)
    assert rig.items == [(b"a", Heartbeat()), (b"b", Heartbeat())]


def test_without_clients_the_broker_needs_no_tick(rig: BrokerRig) -> None:
    rig.frontend.lose(b"a", rig.now)
    rig.tick(1.0)
    assert (rig.items, rig.broker.next_tick) == ([], float("inf"))
    rig.now = 7.0
    rig.greet(b"b")
    assert rig.broker.next_tick == 8.0


def test_every_native_client_is_notified_of_a_drain(make_broker: MakeBroker) -> None:
    rig = make_broker()
    rig.greet(b"a", b"b")
    rig.broker.drain()
    rig.act()
    assert rig.broker.is_draining
    assert rig.items == [(b"a", Goaway("draining")), (b"b", Goaway("draining"))]


def test_a_client_that_connects_during_a_drain_is_notified_immediately(rig: BrokerRig) -> None:
    # Otherwise its calls would be refused here, although another broker is available.
    rig.broker.drain()
    rig.act()
    rig.items.clear()
    rig.receive(Hello(VERSION, "late"), address=b"b")
    assert [type(item) for _, item in rig.items] == [Hello, Goaway]


def test_the_end_of_draining_responds_to_the_remaining_calls(
    rig: BrokerRig, read_problem: ReadProblem
) -> None:
    rig.call(1)
    rig.call(2)
    rig.broker.drain()
    rig.broker.give_up_all(0.0)
    rig.act()
    dispatched, queued = rig.responses()
    assert (dispatched.id, dispatched.status) == (1, 502)
    assert read_problem(dispatched)["executed"] == "maybe"
    assert (queued.id, queued.status) == (2, 503)
    assert read_problem(queued)["executed"] == "no"
    assert rig.stopped == rig.started
    rig.finish(rig.started[0], None)
    rig.assert_nothing_is_left()
