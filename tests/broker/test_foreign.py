"""Callers in other dialects: each gets responses in its own, with its envelope; then no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from trizmq.messages import Headers, Response, problem
from trizmq.wire import reading as dialects
from trizmq.wire.reading import ForeignCall
from trizmq.wire.return_path import MalformedCall

if TYPE_CHECKING:
    from tests.broker.conftest import BrokerRig, MakeBroker

Frames = list[bytes]

#: dialect and depth of the envelope: a call of /users, and what precedes the body of its
#: reply. The reply of `plain` is one JSON document instead.
CALLS: dict[str, tuple[Frames, Frames]] = {
    "mdp01": ([b"", b"MDPC01", b"users", b"{}"], [b"", b"MDPC01", b"users"]),
    "mdp01, queued": (
        [b"q1", b"q2", b"", b"MDPC01", b"users", b"{}"],
        [b"q1", b"q2", b"", b"MDPC01", b"users"],
    ),
    "mdp02": ([b"MDPC02", b"\x01", b"users", b"{}"], [b"MDPC02", b"\x03", b"users"]),
    "mdp02, REQ": (
        [b"", b"MDPC02", b"\x01", b"users", b"{}"],
        [b"", b"MDPC02", b"\x03", b"users"],
    ),
    "majortomo": ([b"", b"MDPC02", b"\x02", b"users", b"{}"], [b"", b"MDPC02", b"\x04"]),
}

PLAIN = [b"", b'{"method": "POST", "path": "/users"}']


def ask(rig: BrokerRig, frames: Frames, address: bytes = b"f") -> None:
    received = dialects.read(frames)
    assert isinstance(received, ForeignCall)
    rig.frontend.receive_foreign(address, received.call, received.return_path, rig.now)
    rig.act()


@pytest.mark.parametrize(("frames", "opening"), CALLS.values(), ids=CALLS)
def test_the_response_returns_the_way_the_call_came(
    make_broker: MakeBroker, frames: Frames, opening: Frames
) -> None:
    rig = make_broker()
    ask(rig, frames)
    [flight] = rig.started
    assert (flight.method, flight.target, flight.body) == ("POST", "/users", b"{}")
    assert flight.deadline == 30.0
    rig.finish(flight, Response(200, body=b"[1]"))
    assert rig.messages == [(b"f", [*opening, b"[1]"])]
    rig.assert_nothing_is_left()


@pytest.mark.parametrize(("frames", "opening"), CALLS.values(), ids=CALLS)
def test_so_does_a_refusal(make_broker: MakeBroker, frames: Frames, opening: Frames) -> None:
    rig = make_broker()
    rig.broker.drain()
    ask(rig, frames)
    [(address, [*start, body])] = rig.messages
    assert (address, start) == (b"f", opening)
    assert orjson.loads(body)["status"] == 503
    rig.assert_nothing_is_left()


def test_plain_calls_and_responses_are_json(make_broker: MakeBroker) -> None:
    rig = make_broker()
    ask(rig, [b"q", *PLAIN])
    rig.finish(rig.started[0], Response(200, body=b"[1]"))
    [(address, [*envelope, document])] = rig.messages
    assert (address, envelope) == (b"f", [b"q", b""])
    answer = orjson.loads(document)
    assert (answer["status"], answer["body"]) == (200, [1])
    rig.assert_nothing_is_left()


@pytest.mark.parametrize("frames", [*(call for call, _ in CALLS.values()), PLAIN])
@pytest.mark.parametrize(
    "response",
    [
        Response(200, body=b"\xff\x00 no text"),
        Response(204),
        Response(404, Headers({"content-type": "text/plain"}), b"no"),
        Response(999, Headers({"content-type": "application/json"}), b"{not json"),
        problem(500, "é"),
    ],
)
def test_any_response_can_be_expressed(
    make_broker: MakeBroker, frames: Frames, response: Response
) -> None:
    rig = make_broker()
    ask(rig, frames)
    rig.finish(rig.started[0], response)
    assert len(rig.messages) == 1


def test_expiry_and_loss_are_problem_documents(make_broker: MakeBroker) -> None:
    rig = make_broker(capacity=2)
    ask(rig, CALLS["mdp01"][0], b"f")
    ask(rig, CALLS["mdp02"][0], b"g")
    ask(rig, CALLS["majortomo"][0], b"h")
    rig.frontend.lose(b"g", rig.now)
    rig.act()
    assert rig.stopped == [rig.started[1]]
    rig.tick(30.0)
    assert [address for address, _ in rig.messages] == [b"f", b"h"]
    for flight in rig.started:
        rig.finish(flight)
    assert len(rig.messages) == 2
    assert (rig.broker.counters.expired, rig.broker.counters.cancelled) == (2, 1)
    rig.assert_nothing_is_left()


def test_clients_behind_one_queue_are_distinguished(make_broker: MakeBroker) -> None:
    rig = make_broker(capacity=9, client_calls=2)
    behind = CALLS["mdp01"][0]
    for client in (b"1", b"1", b"2", b"1", b"2"):
        ask(rig, [client, *behind])
    assert [frames[0] for _, frames in rig.messages] == [b"1"]  # the third call of one client: 429
    assert [flight.id for flight in rig.started] == [1, 2, 3, 5]
    for flight in rig.started:
        rig.finish(flight)
    assert [frames[0] for _, frames in rig.messages] == [b"1", b"1", b"1", b"2", b"2"]
    rig.assert_nothing_is_left()


def test_the_end_of_draining_responds_to_foreign_calls_too(make_broker: MakeBroker) -> None:
    rig = make_broker()
    ask(rig, CALLS["mdp01"][0])
    ask(rig, PLAIN)
    rig.broker.give_up_all(0.0)
    rig.act()
    bodies = [orjson.loads(frames[-1]) for _, frames in rig.messages]
    assert [body["status"] for body in bodies] == [502, 503]
    rig.finish(rig.started[0], None)
    rig.assert_nothing_is_left()


def test_foreign_clients_get_no_goaway_and_no_heartbeats(make_broker: MakeBroker) -> None:
    rig = make_broker()
    ask(rig, PLAIN)
    rig.broker.drain()
    rig.tick(5.0)
    assert (rig.messages, rig.items) == ([], [])


def test_a_malformed_call_gets_a_response_and_is_counted(make_broker: MakeBroker) -> None:
    rig = make_broker()
    with pytest.raises(MalformedCall) as caught:
        dialects.read([b"q", b"", b"MDPC01", b"GET /a b", b""])
    rig.frontend.refuse_malformed(b"f", caught.value.return_path, 400, "no path")
    rig.act()
    [(_, [*opening, body])] = rig.messages
    assert opening == [b"q", b"", b"MDPC01", b"GET /a b"]
    document = orjson.loads(body)
    assert (document["status"], document["detail"]) == (400, "no path")
    assert document["executed"] == "no"
    counters = rig.broker.counters.as_dict()
    assert (counters["malformed"], counters["calls"]) == (1, 0)
