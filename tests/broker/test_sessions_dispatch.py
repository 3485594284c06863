"""Dispatch to workers: turns are fair, and the calls of a lost worker go to another or end.

A plain call is dispatched to one worker, once. A repeatable call is dispatched to at most three,
within its deadline, and only while its caller has received no part of a response.
"""

from __future__ import annotations

import pytest

from trizmq.wire import reading as dialects
from trizmq.wire.items import Cancel, Goaway, Part, Response
from trizmq.wire.mdp import Disconnect, Final, Heartbeat, Partial, Ready

READY = Ready("users")


def answer(backend, address: bytes, token: int, body: bytes = b"", status: int = 200) -> None:
    backend.work(address, Response(token, status, {}, body))


# -- turns ---------------------------------------------------------------------------------


def test_the_least_recently_used_worker_is_first(backend) -> None:
    for address in (b"x", b"y", b"z"):
        backend.say(address, READY)
    backend.call(1)
    backend.call(2)
    (first,), (second,) = backend.given(b"x"), backend.given(b"y")
    backend.say(b"y", Final(second, (b"",)))
    backend.say(b"x", Final(first, (b"",)))
    for call_id in (3, 4, 5):
        backend.call(call_id)
    order = [to for to, said in backend.told if not isinstance(said, Heartbeat)]
    assert order == [b"z", b"y", b"x"]


def test_a_native_worker_receives_as_many_calls_as_its_capacity(backend) -> None:
    backend.employ(b"n", capacity=3)
    for call_id in range(5):
        backend.call(call_id)
    tokens = backend.given(b"n")
    assert len(tokens) == 3
    answer(backend, b"n", tokens[1])
    assert len(backend.given(b"n")) == 1


def test_calls_of_several_services_take_turns_at_one_worker(backend) -> None:
    backend.employ(b"n", "users", "orders")
    for call_id in range(4):
        backend.call(call_id, "/users")
    backend.call(8, "/orders")
    backend.call(9, "/orders")
    served = []
    for _ in range(6):
        (token,) = backend.given(b"n")
        answer(backend, b"n", token)
        served += [call_id for call_id, _ in backend.answers()]
    assert served == [0, 1, 8, 2, 9, 3]


@pytest.mark.parametrize("dialect", ["mdp01", "mdp02", "native"])
def test_a_thousand_calls_delay_another_client_by_one_round(backend, dialect) -> None:
    backend.greet(b"b")
    if dialect == "native":
        backend.employ(b"w")
    else:
        backend.say(b"w", READY, dialect)
    for call_id in range(1000):
        backend.call(call_id)
    backend.call(1, address=b"b")
    rounds = 0
    while not backend.answers(b"b"):
        (token,) = backend.given(b"w")
        if dialect == "native":
            answer(backend, b"w", token)
        else:
            backend.say(b"w", Final(token, (b"",)), dialect)
        rounds += 1
    assert rounds <= 3  # the running call, one of the thousand, and its own


# -- lost workers --------------------------------------------------------------------------

WAYS = ["disconnect", "goaway", "silence", "gone", "killed", "unexpected"]


def lose(backend, address: bytes, way: str) -> None:
    match way:
        case "disconnect":
            backend.say(address, Disconnect(), "mdp01")
        case "unexpected":
            backend.say(address, READY, "mdp01")
        case "goaway":
            backend.work(address, Goaway("closing"))
        case "gone":
            backend.backend.lose(address, backend.now)
        case "killed":
            backend.broker.lose_named(address.decode(), "killed", 0.0)
        case "silence":
            backend.pass_time(backend.now + 4)
    backend.act()


def hire(backend, address: bytes, way: str) -> None:
    if way in ("disconnect", "unexpected"):
        backend.say(address, READY, "mdp01")
    else:
        backend.employ(address)


@pytest.mark.parametrize("way", WAYS)
def test_a_repeatable_call_goes_to_another_worker(backend, way) -> None:
    hire(backend, b"x", way)
    backend.call(1, method="GET")
    (first,) = backend.given(b"x")
    lose(backend, b"x", way)
    assert backend.answers() == []
    backend.employ(b"y")
    (token,) = backend.given(b"y")
    answer(backend, b"y", token)
    assert backend.answers() == [(1, 200)]
    assert backend.broker.counters.redispatched == 1
    assert token != first


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_body_of_a_call_counts_until_its_end_if_its_worker_is_lost(
    make_backend, method, way
) -> None:
    backend = make_backend(broker_bytes=64 * 1024)
    for round_ in range(3):
        hire(backend, b"x", way)
        backend.call(2 * round_, method=method, body=bytes(30_000))
        backend.call(2 * round_ + 1, method=method, body=bytes(30_000))
        lose(backend, b"x", way)
        backend.pass_time(backend.now + 60)
        assert all(status != 503 for _, status in backend.answers())
        assert backend.broker._dispatcher.calls.held_bytes == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_plain_call_is_lost_with_its_worker(backend, way, read_problem) -> None:
    hire(backend, b"x", way)
    backend.call(1)
    backend.call(2)  # it waits: no worker has received it
    backend.given(b"x")
    lose(backend, b"x", way)
    (response,) = backend.responses()
    assert (response.id, response.status) == (1, 502)
    assert read_problem(response)["executed"] == "maybe"
    backend.employ(b"y")
    answer(backend, b"y", backend.given(b"y")[0])
    assert backend.answers() == [(2, 200)]
    assert backend.broker.counters.lost == 1


def test_an_idempotency_key_makes_any_call_repeatable(backend) -> None:
    backend.employ(b"x")
    backend.call(1, headers={"idempotency-key": "k"})
    lose(backend, b"x", "gone")
    backend.employ(b"y")
    assert len(backend.given(b"y")) == 1


def test_two_workers_at_most_are_lost_with_a_call(backend, read_problem) -> None:
    backend.call(1, method="GET")
    for address in (b"x", b"y"):
        assert backend.answers() == []
        backend.employ(address)
        assert len(backend.given(address)) == 1
        lose(backend, address, "gone")
    (response,) = backend.responses()
    assert response.status == 502
    assert "2 workers were lost" in read_problem(response)["detail"]


def test_a_call_goes_to_three_workers_at_most_even_if_they_say_goodbye(backend) -> None:
    backend.call(1, method="GET")
    for address in (b"x", b"y", b"z"):
        assert backend.answers() == []
        backend.employ(address)
        assert len(backend.given(address)) == 1
        lose(backend, address, "goaway")
    assert backend.answers() == [(1, 502)]


def test_returned_calls_are_first_in_their_order(backend) -> None:
    backend.employ(b"x", capacity=2)
    for call_id in (1, 2, 3):
        backend.call(call_id, method="GET")
    backend.given(b"x")
    lose(backend, b"x", "gone")
    backend.employ(b"y")
    served = []
    for _ in range(3):
        answer(backend, b"y", backend.given(b"y")[0])
        served += [call_id for call_id, _ in backend.answers()]
    assert served == [1, 2, 3]


def test_a_call_is_not_repeated_after_parts_were_sent(backend) -> None:
    backend.employ(b"x")
    backend.employ(b"y")
    backend.call(1, method="GET")
    (token,) = backend.given(b"x")
    backend.work(b"x", Part(token, 0, b"half"))
    lose(backend, b"x", "gone")
    assert backend.given(b"y") == []
    assert backend.answers() == [(1, 502)]


def test_collected_parts_are_discarded_with_their_worker(backend) -> None:
    call_by_plain(backend)
    backend.say(b"w", READY)
    (token,) = backend.given(b"w")
    backend.say(b"w", Partial(token, (b"half",)))
    lose(backend, b"w", "gone")
    backend.say(b"v", READY)
    (again,) = backend.given(b"v")
    backend.say(b"v", Final(again, (b"whole",)))
    assert backend.messages == [(b"p", [b"", b'{"status":200}', b"whole"])]


def test_nothing_is_repeated_when_more_calls_fail_than_succeed(backend) -> None:
    for number in range(4):
        backend.employ(b"%d" % number)
        backend.call(number, method="GET")
        lose(backend, b"%d" % number, "gone")
        backend.receive(Cancel(number))
    backend.employ(b"last")
    backend.call(9, method="GET")
    lose(backend, b"last", "gone")
    assert backend.answers() == [(9, 502)]


def test_a_repeated_call_still_ends_at_its_deadline(backend, read_problem) -> None:
    backend.employ(b"x")
    backend.call(1, method="GET", ttl=2000)
    lose(backend, b"x", "gone")
    backend.tick(2.1)
    (response,) = backend.responses()
    assert response.status == 504
    assert read_problem(response)["executed"] == "maybe"


def test_a_late_response_of_a_lost_worker_reaches_no_caller(backend) -> None:
    backend.employ(b"x")
    backend.call(1, method="GET")
    (token,) = backend.given(b"x")
    lose(backend, b"x", "silence")
    backend.employ(b"y")
    answer(backend, b"x", token, b"late")
    assert backend.answers() == []
    answer(backend, b"y", backend.given(b"y")[0], b"in time")
    assert [response.body for response in backend.responses()] == [b"in time"]


def test_a_call_that_any_worker_has_received_is_a_maybe(make_backend, read_problem) -> None:
    """Even if it is refused later: the worker may have executed it."""
    for refuse in ("suspend", "drain"):
        backend = make_backend()
        backend.employ(b"x")
        backend.call(1, method="GET")
        lose(backend, b"x", "gone")
        if refuse == "suspend":
            backend.broker.suspend(0.0)
        else:
            backend.broker.give_up_all(0.0)
        backend.act()
        (response,) = backend.responses()
        assert read_problem(response)["executed"] == "maybe"


# -- services without workers --------------------------------------------------------------


def test_a_call_waits_a_second_for_a_service_that_was_never_offered(backend) -> None:
    backend.call(1)
    backend.tick(0.9)
    assert backend.answers() == []
    backend.tick(1.0)
    assert backend.answers() == [(1, 503)]
    assert "users" not in backend.broker.services


def test_a_timer_for_a_forgotten_service_spares_its_successor(backend) -> None:
    """If it forgot a later service of the same name, that service's worker would be lost."""
    backend.call(1)
    backend.receive(Cancel(1))
    backend.now = 0.5
    backend.call(2)
    backend.receive(Cancel(2))
    backend.tick(1.0)
    backend.say(b"w", READY)
    backend.tick(1.5)
    backend.call(3)
    (token,) = backend.given(b"w")
    backend.say(b"w", Final(token, (b"",)))
    assert backend.answers() == [(3, 200)]
    backend.say(b"w", Disconnect())


def test_services_that_do_not_exist_are_bounded(make_backend) -> None:
    backend = make_backend(services=2)
    for number in range(9):
        backend.call(number, f"/s{number}")
    assert backend.answers() == [(number, 503) for number in range(4, 9)]
    assert len(backend.broker.services) == 4
    backend.tick(2.0)
    assert backend.broker.services == {}


# -- parts ---------------------------------------------------------------------------------


def call_by_plain(backend) -> None:
    found = dialects.read([b"", b'{"method": "GET", "path": "/users"}'])
    assert isinstance(found, dialects.ForeignCall)
    backend.frontend.receive_foreign(b"p", found.call, found.return_path, backend.now)
    backend.act()


@pytest.mark.parametrize(("body", "count"), [(b"x" * 400, 4), (b"", 2000)])
def test_collected_parts_are_bounded_in_bytes_and_in_number(make_backend, body, count) -> None:
    backend = make_backend(body_bytes=1000)
    call_by_plain(backend)
    backend.employ(b"w")
    (token,) = backend.given(b"w")
    for seq in range(count):
        backend.work(b"w", Part(token, seq, body))
    ((_, frames),) = backend.messages
    assert b'"status":500' in frames[1]
    assert len(frames) == 2  # only the problem
    assert Cancel(token) in backend.heard(b"w")
    assert backend.broker.counters.lost == 1


@pytest.mark.parametrize("is_late", [False, True])
def test_an_error_comes_without_the_parts_before_it(backend, is_late) -> None:
    call_by_plain(backend)
    backend.employ(b"w")
    (token,) = backend.given(b"w")
    backend.work(b"w", Part(token, 0, b"half"))
    if is_late:
        backend.broker.tick(31)
        backend.act()
    answer(backend, b"w", token, b"{}", status=500)
    ((_, frames),) = backend.messages
    assert b"half" not in b"".join(frames)
