"""Clients that come back on another connection: what the broker keeps, and what it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trizmq.broker.absence import MAX_REMEMBERED, PATIENCE
from trizmq.wire.items import VERSION, Call, Goaway, Heartbeat, Hello, Item, Part, Response

if TYPE_CHECKING:
    from tests.broker.conftest import BackendRig, BrokerRig, MakeBroker

INSTANCE = "broker"


@pytest.fixture
def rig(make_broker: MakeBroker) -> BrokerRig:
    """A broker with a worker of capacity 2, and a client ``a`` that can come back."""
    rig = make_broker(capacity=2)
    rig.receive(Hello(VERSION, "a", key="secret"))
    rig.items.clear()
    return rig


def come_back(rig: BrokerRig, *in_flight: int, at: bytes = b"b", **fields: Any) -> list[Item]:
    """Let the client send its hello on another connection; return what it receives."""
    details: dict[str, Any] = {"key": "secret", "resumes": INSTANCE} | fields
    rig.receive(Hello(VERSION, "a", in_flight=in_flight, **details), address=at)
    told = [item for to, item in rig.items if to == at]
    rig.items.clear()
    return told


def miss(rig: BrokerRig, *items: Item, address: bytes = b"a") -> None:
    rig.frontend.miss(address, items, rig.now)
    rig.act()


def said(told: list[Item]) -> Hello:
    assert isinstance(told[0], Hello)
    return told[0]


@pytest.mark.parametrize("is_noticed", [True, False])
def test_calls_move_to_the_new_connection(rig: BrokerRig, *, is_noticed: bool) -> None:
    rig.call(1)
    rig.call(2)
    if is_noticed:
        miss(rig)
    hello = said(come_back(rig, 1, 2))
    assert (hello.seen, hello.lost) == (2, ())
    for flight in rig.started:
        rig.finish(flight)
    assert rig.answers(b"b") == [(1, 200), (2, 200)]
    assert rig.answers(b"a") == []
    rig.assert_nothing_is_left()


def test_one_number_reports_the_calls_that_were_not_read(rig: BrokerRig) -> None:
    rig.call(1)
    assert said(come_back(rig, 1, 5, 6)).seen == 1


def test_an_item_on_the_previous_connection_is_a_strangers(rig: BrokerRig) -> None:
    rig.call(1)
    come_back(rig, 1, 2)
    rig.call(2, address=b"a")  # it was still in the socket; the client sends it again
    assert rig.items == [(b"a", Goaway("unknown", 1))]
    rig.call(3, address=b"b")
    assert len(rig.started) == 2


def test_an_undelivered_response_is_kept(rig: BrokerRig) -> None:
    rig.call(1)
    rig.call(2)
    rig.finish(rig.started[0])
    [response] = rig.responses()
    miss(rig, response, Heartbeat())
    rig.finish(rig.started[1])
    [another] = rig.responses()
    miss(rig, Part(2, 0, b"part"), another)
    hello, *rest = come_back(rig, 1, 2)
    assert isinstance(hello, Hello)
    assert (hello.seen, hello.lost) == (2, ())
    assert rest == [response, Part(2, 0, b"part"), another]
    rig.assert_nothing_is_left()


def test_a_response_that_was_lost_in_transit_is_reported(rig: BrokerRig) -> None:
    rig.call(1)
    rig.call(2)
    rig.finish(rig.started[0])
    rig.items.clear()  # sent, but never received
    assert said(come_back(rig, 1, 2)).lost == (1,)


def test_kept_responses_are_bounded_in_bytes(make_broker: MakeBroker) -> None:
    rig = make_broker(capacity=2, client_bytes=10_000)
    rig.receive(Hello(VERSION, "a", key="secret"))
    rig.call(1)
    rig.call(2)
    for flight in rig.started:
        rig.finish(flight)
    rig.items.clear()
    miss(rig, Response(1, 200, {}, bytes(9_000)), Response(2, 200, {}, bytes(9_000)))
    assert said(come_back(rig, 1, 2)).lost == (2,)
    assert rig.frontend._absence._bytes == 0


def test_calls_that_the_client_does_not_list_are_cancelled(rig: BrokerRig) -> None:
    rig.call(1)
    rig.call(2)
    come_back(rig, 2)
    assert rig.stopped == [rig.started[0]]
    assert rig.broker.counters.cancelled == 1


def test_the_calls_of_a_client_that_does_not_come_back_are_cancelled(rig: BrokerRig) -> None:
    rig.call(1)
    miss(rig, Response(9, 200, {}, b""))
    rig.tick(PATIENCE - 0.1)
    assert rig.stopped == []
    rig.tick(PATIENCE)
    assert rig.stopped == rig.started
    assert rig.broker.counters.gone == 1
    assert rig.broker.clients == 0
    rig.finish(rig.started[0], None)
    rig.assert_nothing_is_left()


def test_a_client_that_comes_back_too_late_receives_what_was_read(rig: BrokerRig) -> None:
    rig.call(1)
    miss(rig)
    rig.tick(PATIENCE)
    hello = said(come_back(rig, 1, 2))
    assert (hello.seen, hello.lost) == (1, (1,))


def test_a_forgotten_client_must_assume_that_all_its_calls_were_read(rig: BrokerRig) -> None:
    rig.call(1)
    rig.frontend.lose(b"a", rig.now)
    for number in range(MAX_REMEMBERED):
        rig.receive(Hello(VERSION, "x", key=f"{number}"), address=b"x")
        rig.frontend.lose(b"x", rig.now)
    rig.items.clear()
    hello = said(come_back(rig, 1, 2))
    assert (hello.seen, hello.lost) == (2, (1, 2))


def test_a_client_of_a_previous_broker_process_has_no_calls_here(rig: BrokerRig) -> None:
    hello = said(come_back(rig, 1, 2, key="another", resumes="the broker before"))
    assert (hello.seen, hello.lost) == (0, ())


@pytest.mark.parametrize("key", ["", "secreT", "another"])
def test_without_the_key_a_client_gets_no_responses_of_another(rig: BrokerRig, key: str) -> None:
    rig.call(1)
    miss(rig, Response(1, 200, {}, b"secret"))
    told = come_back(rig, 1, key=key)
    assert [type(item) for item in told] == [Hello]
    rig.finish(rig.started[0])
    assert rig.answers(b"b") == []


def test_a_client_without_a_key_is_lost_immediately(rig: BrokerRig) -> None:
    rig.receive(Hello(VERSION, "old"), address=b"o")
    rig.call(1, address=b"o")
    miss(rig, address=b"o")
    assert rig.stopped == rig.started


def test_a_client_that_says_goodbye_is_lost_immediately(rig: BrokerRig) -> None:
    rig.call(1)
    rig.receive(Goaway("closing"))
    assert rig.stopped == rig.started


def test_the_goodbye_of_a_broker_reports_what_it_has_read(rig: BrokerRig) -> None:
    rig.call(7)
    rig.broker.drain()
    rig.broker.give_up_all(0.0)
    rig.act()
    rig.items.clear()
    rig.broker.say_goodbye(0.0)
    rig.act()
    assert rig.items == [(b"a", Goaway("closing", 7))]


def test_a_stranger_is_notified_which_of_its_calls_were_not_read(rig: BrokerRig) -> None:
    calls = [Call(one, 1000, "POST", "/users", {}, b"") for one in (8, 9)]
    rig.receive(Heartbeat(), *calls, address=b"s")
    assert rig.items == [(b"s", Goaway("unknown", 7))]


def test_a_worker_whose_connection_has_ended_is_lost_immediately(backend: BackendRig) -> None:
    backend.employ(b"w1")
    backend.call(1, method="GET")
    backend.employ(b"w2")
    backend.backend.lose(b"w1", backend.now, "its connection has ended")
    backend.act()
    assert len(backend.given(b"w2")) == 1
