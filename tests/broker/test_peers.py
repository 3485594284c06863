"""Who the broker knows: hello, heartbeats, loss, drain, and what happens to strangers."""

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


def test_hello_is_answered_with_instance_and_credit(make_broker: MakeBroker) -> None:
    rig = make_broker(client_calls=5, client_bytes=400_000)
    rig.frontend.receive(b"a", [Hello(VERSION, "client")], 0.0, 100)
    rig.act()
    assert rig.items == [(b"a", Hello(VERSION, "broker", 5, window=100_000))]


def test_a_client_is_told_what_was_read_of_its_large_calls(make_broker: MakeBroker) -> None:
    rig = make_broker(client_bytes=16 * 100_000, capacity=100)
    rig.greet(b"a")
    for call_id in range(1, 9):
        rig.call(call_id, body=bytes(40_000), size=40_100)
    heard = [item for _, item in rig.items if isinstance(item, Heartbeat)]
    assert heard == [Heartbeat(3), Heartbeat(6)]  # each time a quarter of 400,000 is read


def test_of_small_calls_nothing_is_told(make_broker: MakeBroker) -> None:
    rig = make_broker(client_bytes=64 * 1024, capacity=100)
    rig.greet(b"a")
    for call_id in range(1, 101):
        rig.call(call_id, body=bytes(1000), size=1100)
    assert not rig.items


def test_the_first_message_may_hold_calls_too(make_broker: MakeBroker) -> None:
    rig = make_broker()
    rig.receive(Hello(VERSION, "c"), Call(1, 1000, "GET", "/users", {}, b""))
    assert [flight.id for flight in rig.started] == [1]


@pytest.mark.parametrize("version", [0, VERSION + 1, -1])
def test_another_version_is_told_so_and_forgotten(rig: BrokerRig, version: int) -> None:
    call = Call(1, 1000, "GET", "/users", {}, b"")
    rig.receive(Hello(version, "c"), call, address=b"b")
    assert rig.items == [(b"b", Goaway("version"))]
    assert not rig.started
    assert b"b" not in rig.frontend.clients.native


@pytest.mark.parametrize(
    "item",
    [Call(1, 1000, "GET", "/users", {}, b""), Heartbeat(), Cancel(1), Response(1, 200, {}, b"")],
)
def test_a_stranger_is_told_so_and_nothing_of_it_is_done(rig: BrokerRig, item: Item) -> None:
    rig.receive(item, address=b"b")
    unseen = Goaway("unknown", 0) if isinstance(item, Call) else Goaway("unknown")
    assert rig.items == [(b"b", unseen)]
    assert not rig.started
    assert b"b" not in rig.frontend.clients.native


@pytest.mark.parametrize("item", [Response(1, 200, {}, b""), Part(1, 0, b""), Credit(0, 1)])
def test_what_a_client_has_no_business_to_send(rig: BrokerRig, item: Item) -> None:
    rig.call(1)
    rig.receive(item, Heartbeat(), Hello(VERSION, "again"))
    assert rig.broker.counters.unexpected == 1
    rig.finish(rig.started[0])
    assert rig.answers() == [(1, 200)]


def test_an_instance_is_kept_to_a_bounded_length(make_broker: MakeBroker) -> None:
    rig = make_broker()
    rig.receive(Hello(VERSION, "x" * 1_000_000))
    assert len(rig.frontend.clients.native[b"a"].instance) <= 64


def test_goodbye_gives_up_what_is_in_flight(rig: BrokerRig) -> None:
    rig.call(1)
    rig.call(2)
    rig.receive(Goaway("closing"), Call(3, 1000, "GET", "/users", {}, b""))
    assert rig.stopped == rig.started
    assert rig.broker.counters.cancelled == 2
    assert rig.frontend.clients.native == {}
    rig.finish(rig.started[0])
    assert rig.items == []
    rig.assert_nothing_is_left()


def test_losing_a_client_touches_no_other(make_broker: MakeBroker) -> None:
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


def test_a_heartbeat_goes_only_to_who_heard_nothing(make_broker: MakeBroker) -> None:
    rig = make_broker(capacity=9, heartbeat=2.0)
    assert rig.broker.next_tick == float("inf")
    rig.greet(b"a", b"b")
    assert rig.broker.next_tick == 2.0
    rig.call(1, "/nobody", address=b"a")  # answered
    rig.call(1, address=b"b")  # in flight
    rig.items.clear()
    rig.tick(1.9)
    assert rig.items == []
    rig.tick(2.0)
    assert rig.items == [(b"b", Heartbeat())]
    rig.items.clear()
    rig.tick(4.0)
    assert rig.items == [(b"a", Heartbeat()), (b"b", Heartbeat())]


def test_without_clients_there_is_nothing_to_wake_up_for(rig: BrokerRig) -> None:
    rig.frontend.lose(b"a", rig.now)
    rig.tick(1.0)
    assert (rig.items, rig.broker.next_tick) == ([], float("inf"))
    rig.now = 7.0
    rig.greet(b"b")
    assert rig.broker.next_tick == 8.0


def test_drain_is_said_to_every_native_client(make_broker: MakeBroker) -> None:
    rig = make_broker()
    rig.greet(b"a", b"b")
    rig.broker.drain()
    rig.act()
    assert rig.broker.is_draining
    assert rig.items == [(b"a", Goaway("draining")), (b"b", Goaway("draining"))]


def test_who_comes_while_draining_is_told_at_once(rig: BrokerRig) -> None:
    # Else it would send its calls here, to be refused, though another broker is up.
    rig.broker.drain()
    rig.act()
    rig.items.clear()
    rig.receive(Hello(VERSION, "late"), address=b"b")
    assert [type(item) for _, item in rig.items] == [Hello, Goaway]


def test_the_end_of_draining_answers_what_is_left(
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
