"""A call's way through the broker: every row of the theory of operation in `broker.engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trizmq.messages import Headers, Principal, Response
from trizmq.wire.items import Cancel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.broker.conftest import BrokerRig, MakeBroker, ReadProblem


def test_a_call_is_dispatched_and_its_response_has_its_id(rig: BrokerRig) -> None:
    rig.call(7, "/users/1?x=2", headers={"a": "b"}, body=b"body")
    [flight] = rig.started
    assert (flight.id, flight.target, flight.body) == (7, "/users/1?x=2", b"body")
    assert (flight.deadline, flight.worker) == (30.0, rig.worker)
    assert (rig.broker.in_flight, rig.broker.services["users"].in_flight) == (1, 1)
    rig.finish(flight, Response(201, Headers({"X-Y": "z"}), b"1"))
    [response] = rig.responses()
    assert (response.id, response.status, response.body) == (7, 201, b"1")
    assert response.headers == {"x-y": "z"}
    assert rig.broker.counters.answered == 1
    rig.assert_nothing_is_left()


def test_calls_beyond_the_capacity_wait_and_go_in_order(rig: BrokerRig) -> None:
    for call_id in (1, 2, 3):
        rig.call(call_id)
    assert [flight.id for flight in rig.started] == [1]
    assert rig.broker.services["users"].queue.count == 2
    for _ in range(3):
        rig.finish(rig.started[-1])
    assert rig.answers() == [(1, 200), (2, 200), (3, 200)]
    rig.assert_nothing_is_left()


def test_the_worker_that_was_picked_longest_ago_is_next(make_broker: MakeBroker) -> None:
    rig = make_broker(capacity=2)
    other = rig.broker.add_worker(["users"], 1)
    rig.greet(b"a")
    for call_id in range(4):
        rig.call(call_id)
    assert [flight.worker for flight in rig.started] == [rig.worker, other, rig.worker]
    assert rig.broker.services["users"].workers == 2


def test_a_worker_that_joins_takes_waiting_calls(rig: BrokerRig) -> None:
    for call_id in range(4):
        rig.call(call_id)
    other = rig.broker.add_worker(["users"], 2)
    rig.act()
    assert [flight.worker for flight in rig.started] == [rig.worker, other, other]


def test_expired_in_the_queue(rig: BrokerRig, read_problem: ReadProblem) -> None:
    rig.call(1)
    rig.call(2, ttl=500, headers={"x-request-id": "r-2"})
    assert rig.broker.next_tick == 0.5
    rig.tick(0.49)
    assert rig.answers() == []
    rig.tick(0.5)
    [response] = rig.responses()
    document = read_problem(response)
    assert (response.id, response.status, document["executed"]) == (2, 504, "no")
    assert document["request_id"] == "r-2"
    rig.finish(rig.started[0])
    assert len(rig.started) == 1  # no worker has received it
    assert rig.broker.counters.expired == 1
    rig.assert_nothing_is_left()


def test_expired_at_the_worker(rig: BrokerRig, read_problem: ReadProblem) -> None:
    rig.call(1, ttl=500)
    rig.call(2)
    rig.tick(0.5)
    [response] = rig.responses()
    document = read_problem(response)
    assert (response.id, response.status, document["executed"]) == (1, 504, "maybe")
    assert document["request_id"] == "a-1"  # the client's instance, the call's id
    assert rig.stopped == rig.started == rig.stopped[:1]
    # A handler that does not stop keeps its slot until it reports that it has ended.
    assert (rig.worker.busy, len(rig.started)) == (1, 1)
    rig.finish(rig.started[0])
    assert rig.answers() == []
    assert rig.broker.counters.late == 1
    assert [flight.id for flight in rig.started] == [1, 2]
    rig.finish(rig.started[1])
    rig.assert_nothing_is_left()


def test_a_stopped_handler_has_no_late_response(rig: BrokerRig) -> None:
    rig.call(1, ttl=500)
    rig.tick(0.5)
    rig.finish(rig.started[0], None)
    assert rig.broker.counters.late == 0
    rig.assert_nothing_is_left()


@pytest.mark.parametrize("ttl", [0, -1, -(2**63)])
def test_expired_on_arrival(rig: BrokerRig, read_problem: ReadProblem, ttl: int) -> None:
    rig.call(1, ttl=ttl)
    [response] = rig.responses()
    assert (response.status, read_problem(response)["executed"]) == (504, "no")
    assert not rig.started
    rig.assert_nothing_is_left()


def test_no_call_lasts_longer_than_the_cap(make_broker: MakeBroker) -> None:
    rig = make_broker(max_ttl=60.0)
    rig.greet(b"a")
    rig.call(1, ttl=2**63)
    assert rig.started[0].deadline == 60.0


def test_a_call_that_is_cancelled_in_the_queue_reaches_no_worker(rig: BrokerRig) -> None:
    rig.call(1)
    rig.call(2)
    rig.receive(Cancel(2))
    assert (rig.broker.queued_bytes, rig.stopped) == (0, [])
    rig.finish(rig.started[0])
    assert rig.answers() == [(1, 200)]
    assert rig.broker.counters.cancelled == 1
    rig.assert_nothing_is_left()


def test_a_call_that_is_cancelled_at_the_worker_is_stopped(rig: BrokerRig) -> None:
    rig.call(1)
    rig.receive(Cancel(1))
    assert rig.stopped == rig.started
    assert rig.worker.busy == 1
    rig.receive(Cancel(1))  # a second time: the call no longer exists
    rig.finish(rig.started[0])
    assert rig.answers() == []
    assert (rig.broker.counters.cancelled, rig.broker.counters.late) == (1, 1)
    rig.assert_nothing_is_left()


def test_a_cancellation_that_comes_too_late_does_nothing(rig: BrokerRig) -> None:
    rig.call(1)
    rig.finish(rig.started[0])
    rig.receive(Cancel(1), Cancel(99))
    assert rig.answers() == [(1, 200)]
    assert rig.broker.counters.cancelled == 0
    assert not rig.stopped


def test_an_id_in_use_is_dropped_and_counted(rig: BrokerRig) -> None:
    rig.call(1)
    rig.call(1)
    assert rig.broker.counters.unexpected == 1
    rig.finish(rig.started[0])
    rig.call(1)  # now it is free again
    rig.finish(rig.started[1])
    assert rig.answers() == [(1, 200), (1, 200)]


def test_clients_may_use_the_same_ids(make_broker: MakeBroker) -> None:
    rig = make_broker(capacity=2)
    rig.greet(b"a", b"b")
    rig.call(1, address=b"a")
    rig.call(1, address=b"b")
    rig.finish(rig.started[1], Response(201))
    assert (rig.answers(b"a"), rig.answers(b"b")) == ([], [(1, 201)])
    rig.receive(Cancel(1), address=b"a")
    assert rig.stopped == [rig.started[0]]


def test_a_call_that_its_worker_stopped_is_a_502(rig: BrokerRig, read_problem: ReadProblem) -> None:
    rig.call(1)
    rig.finish(rig.started[0], None)
    [response] = rig.responses()
    assert (response.status, read_problem(response)["executed"]) == (502, "maybe")
    rig.assert_nothing_is_left()


def test_a_principal_is_never_accepted_from_a_client(rig: BrokerRig) -> None:
    rig.call(1, principal=Principal("root", frozenset({"*"})))
    assert rig.started[0].principal is None


def end_by_answer(rig: BrokerRig) -> None:
    rig.finish(rig.started[0])


def end_by_cancel(rig: BrokerRig) -> None:
    rig.receive(Cancel(1))


def end_by_expiry(rig: BrokerRig) -> None:
    rig.tick(30.0)


@pytest.mark.parametrize("end", [end_by_answer, end_by_cancel, end_by_expiry])
def test_a_body_is_released_when_its_call_has_ended(
    rig: BrokerRig, end: Callable[[BrokerRig], None]
) -> None:
    # The record stays in the heap of deadlines for a while: 64 bodies of 16 MiB for an hour.
    rig.call(1, body=b"large")
    end(rig)
    assert rig.started[0].body == b""


def test_no_service_starves_another_of_the_same_worker(make_broker: MakeBroker) -> None:
    names = tuple("abcdefgh")
    rig = make_broker(services=names, capacity=1)
    rig.greet(b"a")
    rig.call(0, "/h")
    for call_id in range(1, 41):
        rig.call(call_id, "/c" if call_id % 2 else "/d")
    served = ""
    for _ in range(20):
        rig.finish(rig.started[-1])
        served += rig.started[-1].service.name
    assert served.count("c") == served.count("d") == 10


def test_a_client_with_many_calls_does_not_delay_one_with_few(rig: BrokerRig) -> None:
    rig.greet(b"b", b"c")
    for call_id in range(100):
        rig.call(call_id)
    rig.call(1, address=b"b")
    rig.call(2, address=b"b")
    rig.call(1, address=b"c")
    order: list[Any] = []
    for _ in range(6):
        rig.finish(rig.started[-1])
        peer: Any = rig.started[-1].peer
        order.append((peer.address, rig.started[-1].id))
    assert order == [(b"a", 1), (b"b", 1), (b"c", 1), (b"a", 2), (b"b", 2), (b"a", 3)]
