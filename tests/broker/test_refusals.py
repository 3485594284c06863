"""Refused calls: their statuses, that no handler receives them, and that nothing remains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trizmq.messages import Response as Outcome
from trizmq.wire import native
from trizmq.wire.items import Call

if TYPE_CHECKING:
    from tests.broker.conftest import BrokerRig, MakeBroker, ReadProblem

KIB = 1024


def assert_refused(
    rig: BrokerRig, read_problem: ReadProblem, status: int, *, retry_after: bool = False
) -> None:
    [response] = rig.responses()
    document = read_problem(response)
    assert (response.status, document["executed"]) == (status, "no")
    assert document["request_id"] == f"a-{response.id}"
    assert response.headers.get("retry-after-ms") == ("100" if retry_after else None)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/nobody", 404),
        ("/nobody/users", 404),
        ("//users", 404),
        ("/", 404),
        ("/?x=/users", 404),
        ("/Users", 404),
        ("/%2575sers", 404),
        ("/users%2F1", 404),
        ("/%", 400),
        ("/%zz", 400),
        ("/%ff/1", 400),
        ("", 400),
        ("users", 400),
        ("xusers/1", 400),  # any single character before the service
        ("?users", 400),
        ("http://host/users", 400),
    ],
)
def test_a_service_that_does_not_exist_is_a_404(
    rig: BrokerRig, read_problem: ReadProblem, target: str, status: int
) -> None:
    rig.call(1, target)
    assert_refused(rig, read_problem, status)
    assert not rig.started
    rig.assert_nothing_is_left()


@pytest.mark.parametrize("target", ["/users", "/users/", "/users/1/x", "/users?a=/b", "/users?"])
def test_the_first_segment_is_the_service(rig: BrokerRig, target: str) -> None:
    rig.call(1, target)
    assert rig.started[0].service.name == "users"


AT_THE_LIMIT: list[dict[str, Any]] = [
    {"target": "/users/" + "x" * (2 * KIB - 7 - 4)},  # with POST
    {"body": bytes(KIB)},
    {"body": [bytes(KIB // 2)] * 2},
    {"headers": {f"h{n}": "" for n in range(64)}},
    {"headers": {"x": "y" * (4 * KIB - 1)}},
    {"headers": {f"{n:04}": "y" * (4 * KIB - 4) for n in range(4)}},
]

OVER_THE_LIMIT: list[tuple[dict[str, Any], int]] = [
    ({"target": "/users/" + "x" * (2 * KIB)}, 414),
    ({"method": "M" * (2 * KIB)}, 414),
    ({"body": bytes(KIB + 1)}, 413),
    ({"body": [bytes(KIB), b"x"]}, 413),
    ({"headers": {f"h{n}": "" for n in range(65)}}, 431),
    ({"headers": {"x": "y" * (4 * KIB)}}, 431),
    ({"headers": {f"{n:04}": "y" * (4 * KIB - 4) for n in range(5)}}, 431),
]


@pytest.mark.parametrize("details", AT_THE_LIMIT)
def test_a_call_at_the_limit_is_accepted(make_broker: MakeBroker, details: dict[str, Any]) -> None:
    rig = make_broker(body_bytes=KIB)
    rig.greet(b"a")
    rig.call(1, **details)
    assert len(rig.started) == 1


def test_a_service_has_a_percent_encoded_form_too(rig: BrokerRig) -> None:
    rig.call(1, "/%75sers/%31?a=%20")
    assert [flight.target for flight in rig.started] == ["/%75sers/%31?a=%20"]


@pytest.mark.parametrize(
    "details",
    [
        {"method": "GE T"},
        {"method": ""},
        {"method": "GET\n"},
        {"method": "É"},
        {"method": "M" * 17},
        {"target": "/users/a b"},
        {"target": "/users/\x00"},
        {"target": "/users/\x7f"},
        {"target": "/users/\x85"},
        {"target": "/users/\u2028"},
        {"target": "/users?x=\n"},
        {"headers": {"a\nb": "c"}},
        {"headers": {"": "c"}},
        {"headers": {"a b": "c"}},
        {"headers": {"é": "c"}},
        {"headers": {"authorization": "a\r\nb: c"}},
        {"headers": {"x-tenant": "\x1b[2J"}},
        {"headers": {"x-tenant": "\x9b2J"}},
        {"headers": {"x-request-id": "a\nb"}},
    ],
)
def test_a_native_call_must_follow_the_rules_for_names(
    rig: BrokerRig, read_problem: ReadProblem, details: dict[str, Any]
) -> None:
    rig.call(1, **details)
    assert_refused(rig, read_problem, 400)
    rig.assert_nothing_is_left()


def test_an_accepted_call_does_not_admit_others(rig: BrokerRig) -> None:
    good, bad = {"authorization": "Bearer a"}, {"authorization": "Bearer a\n"}
    for call_id, headers in enumerate([good, good, bad, good, {"a": "b"}, bad, good | bad], 1):
        rig.call(call_id, headers=dict(headers))
    assert [call_id for call_id, status in rig.answers() if status == 400] == [3, 6, 7]


def test_a_native_call_is_normalized(rig: BrokerRig) -> None:
    headers = {"X-Tenant": " blue ", "x-tenant": "red", "Accept": "é"}
    rig.call(1, "/users/é", method="get", headers=headers)
    [flight] = rig.started
    assert (flight.method, flight.target) == ("GET", "/users/é")
    assert flight.headers == {"x-tenant": "blue, red", "accept": "é"}


@pytest.mark.parametrize(
    ("details", "status"),
    [
        ({"target": "/users/" + "é" * 1100}, 414),
        ({"target": "/users/" + "😀" * 520}, 414),
        ({"target": "/users/" + "é" * 1000}, None),
        ({"headers": {"x": "é" * 2048}}, 431),
        ({"headers": {"x": "😀" * 1024}}, 431),
        ({"headers": {"x": "€" * 1364}}, None),
        ({"headers": {f"x{n}": "😀" * 1000 for n in range(5)}}, 431),
    ],
)
def test_limits_count_bytes_not_characters(
    rig: BrokerRig, details: dict[str, Any], status: int | None
) -> None:
    call = Call(1, 1000, "POST", **({"target": "/users", "headers": {}, "body": b""} | details))
    rig.receive(call, size=sum(map(len, native.encode([call]))))
    assert rig.answers() == ([] if status is None else [(1, status)])


@pytest.mark.parametrize(("details", "status"), OVER_THE_LIMIT)
def test_a_call_over_the_limit_is_refused(
    make_broker: MakeBroker, read_problem: ReadProblem, details: dict[str, Any], status: int
) -> None:
    rig = make_broker(body_bytes=KIB)
    rig.greet(b"a")
    rig.call(1, **details)
    assert_refused(rig, read_problem, status)
    rig.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("call", "limits", "status"),
    [
        (Call(1, 1000, "GET", "/users", {chr(65 + n): "" for n in range(65)}, b""), {}, 431),
        (Call(1, 1000, "GET", "/users/" + "x" * 20, {}, b""), {"target_bytes": 20}, 414),
        (Call(1, 1000, "GET", "/users", {}, bytes(20)), {"body_bytes": 19}, 413),
        (Call(1, 1000, "GET", "/users", {"x": "y" * 19}, b""), {"header_bytes": 19}, 431),
    ],
)
def test_limits_apply_to_small_messages_too(
    make_broker: MakeBroker, call: Call, limits: dict[str, Any], status: int
) -> None:
    rig = make_broker(**limits)
    rig.greet(b"a")
    rig.receive(call, size=sum(map(len, native.encode([call]))))
    assert rig.answers() == [(1, status)]


def test_a_small_message_of_ordinary_parts_passes(rig: BrokerRig) -> None:
    rig.call(1, size=100)
    assert len(rig.started) == 1


def test_a_draining_broker_refuses_new_calls(rig: BrokerRig, read_problem: ReadProblem) -> None:
    rig.call(1)
    rig.broker.drain()
    rig.call(2)
    assert_refused(rig, read_problem, 503, retry_after=True)
    rig.finish(rig.started[0])
    assert rig.answers() == [(1, 200)]
    rig.assert_nothing_is_left()


def test_only_calls_that_no_worker_received_are_not_taken(rig: BrokerRig) -> None:
    rig.call(1)
    rig.call(2)  # waits for the worker
    rig.broker.drain()
    rig.call(3)
    rig.finish(rig.started[0], Outcome(503, body=b'{"executed":"no"}'))
    rig.finish(rig.started[1])
    rig.call(4, ttl=0)
    rig.broker.give_up_all(0.0)
    rig.act()
    said = {response.id: (response.status, response.taken) for response in rig.responses()}
    assert said == {1: (503, True), 2: (200, True), 3: (503, False), 4: (504, True)}


def test_calls_that_wait_at_the_end_of_draining_are_not_taken(rig: BrokerRig) -> None:
    rig.call(1)
    rig.call(2)
    rig.broker.drain()
    rig.broker.give_up_all(0.0)
    rig.act()
    assert [(one.id, one.taken) for one in rig.responses()] == [(1, True), (2, False)]


def test_too_many_calls_of_one_client(make_broker: MakeBroker, read_problem: ReadProblem) -> None:
    rig = make_broker(client_calls=2)
    rig.greet(b"a", b"b")
    rig.call(1)
    rig.call(2)
    rig.call(3)
    assert_refused(rig, read_problem, 429, retry_after=True)
    rig.call(3, address=b"b")
    assert rig.answers(b"b") == []  # each client has its own bound
    rig.finish(rig.started[0])
    rig.call(4)
    assert rig.answers() == [(1, 200)]


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"service_calls": 2}, 503),
        ({"service_bytes": 3500}, 503),
        ({"broker_bytes": 3500}, 503),
        ({"client_bytes": 3500}, 429),
    ],
)
def test_a_full_queue_refuses_calls(
    make_broker: MakeBroker, read_problem: ReadProblem, limits: dict[str, Any], status: int
) -> None:
    # A call of 1000 bytes counts as 1518: 512 for the record, 6 for its path.
    rig = make_broker(**limits)
    rig.greet(b"a")
    for call_id in (1, 2, 3):
        rig.call(call_id, body=bytes(1000))
    assert rig.answers() == []
    rig.call(4, body=bytes(1000))
    assert_refused(rig, read_problem, status, retry_after=True)
    rig.finish(rig.started[0])  # there is room for one again
    rig.call(5, body=bytes(1000))
    rig.finish(rig.started[1])
    rig.finish(rig.started[2])
    rig.finish(rig.started[3])
    assert rig.answers() == [(1, 200), (2, 200), (3, 200), (5, 200)]
    rig.assert_nothing_is_left()


@pytest.mark.parametrize(
    "part",
    [{"headers": {"x": "y" * 2000}}, {"target": "/users/" + "x" * 2000}],
)
def test_every_part_counts_in_the_queue(make_broker: MakeBroker, part: dict[str, Any]) -> None:
    rig = make_broker()
    rig.greet(b"a")
    rig.call(1)
    rig.call(2, **part)
    assert rig.broker.queued_bytes >= 2512


def test_the_bytes_of_all_services_count_together(make_broker: MakeBroker) -> None:
    rig = make_broker(services=("users", "orders"), broker_bytes=2000)
    rig.greet(b"a")
    rig.call(1)
    rig.call(2, body=bytes(1000))
    rig.call(3, "/orders", body=bytes(1000))
    assert rig.answers() == [(3, 503)]


def test_the_bytes_of_a_connection_count_where_they_wait_and_at_workers(
    make_broker: MakeBroker,
) -> None:
    rig = make_broker(capacity=100, client_bytes=64 * 1024)
    rig.greet(b"a", b"b")
    for call_id in (1, 2, 3, 4, 5):
        rig.call(call_id, body=bytes(40_000))
    rig.call(1, address=b"b", body=bytes(40_000))
    assert (rig.answers(b"a"), rig.answers(b"b")) == ([(5, 429)], [])
    rig.call(6)  # it has no body, so it counts for nothing
    rig.finish(rig.started[0])
    rig.call(7, body=bytes(40_000))
    assert rig.answers() == [(1, 200)]


def test_a_single_call_is_within_every_bound_on_bytes(make_broker: MakeBroker) -> None:
    rig = make_broker(client_bytes=64 * 1024, broker_bytes=64 * 1024)
    rig.greet(b"a")
    rig.call(1, body=bytes(1024 * 1024))
    assert len(rig.started) == 1


def test_unread_bytes_of_clients_count_with_bodies(
    make_broker: MakeBroker, read_problem: ReadProblem
) -> None:
    rig = make_broker(capacity=100, broker_bytes=400_000)
    rig.greet(b"a")
    rig.frontend.note_unsent(200_000)
    rig.call(1, body=bytes(90_000))
    rig.call(2, body=bytes(90_000))
    assert rig.frontend.bytes_elsewhere == 180_000
    assert rig.broker.add_frontend().bytes_elsewhere == 380_000
    rig.call(3, body=bytes(90_000))
    assert_refused(rig, read_problem, 503, retry_after=True)
    rig.frontend.note_unsent(0)
    rig.call(4, body=bytes(90_000))
    assert rig.answers() == []
