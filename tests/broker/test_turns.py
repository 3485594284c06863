"""The choice of the next worker: the least busy one of those that have sent a message recently."""

from __future__ import annotations

from collections import Counter

import pytest

from trizmq.wire import reading as dialects
from trizmq.wire.items import VERSION, Goaway, Heartbeat, Hello, Response
from trizmq.wire.mdp import Ready


def answer(backend, address: bytes, token: int) -> None:
    backend.work(address, Response(token, 200, {}, b""))


def shares(backend, addresses) -> list[int]:
    return [len(backend.given(address)) for address in addresses]


# -- the least busy ------------------------------------------------------------------------


def test_calls_are_spread_over_the_available_workers(backend) -> None:
    workers = [b"w", b"x", b"y", b"z"]
    for address in workers:
        backend.employ(address, capacity=256)
    for call_id in range(100):
        backend.call(call_id)
    assert shares(backend, workers) == [25, 25, 25, 25]


def test_alternating_long_and_short_calls_are_spread_evenly(backend) -> None:
    """If each worker received every second call, one of them would have all the long ones."""
    workers = [b"x", b"y"]
    for address in workers:
        backend.employ(address, capacity=8)
    long_ones: Counter[bytes] = Counter()
    for call_id in range(8):
        backend.call(call_id)
        for address in workers:
            for token in backend.given(address):
                if call_id % 2:
                    answer(backend, address, token)
                else:
                    long_ones[address] += 1
    assert long_ones == {b"x": 2, b"y": 2}


def test_the_first_of_several_new_workers_does_not_take_the_whole_queue(backend) -> None:
    backend.broker.expect(["users"])
    for call_id in range(100):
        backend.call(call_id)
    workers = [b"w", b"x", b"y", b"z"]
    for address in workers:
        backend.employ(address, capacity=256)
    backend.pass_time(1.0)
    given = shares(backend, workers)
    assert sum(given) == 100
    assert max(given) <= 30


def test_a_new_worker_that_stays_alone_soon_has_the_whole_queue(backend) -> None:
    backend.broker.expect(["users"])
    for call_id in range(200):
        backend.call(call_id)
    backend.employ(b"w", capacity=256)
    assert len(backend.given(b"w")) < 20
    backend.pass_time(0.3)
    assert len(backend.given(b"w")) > 180
    backend.call(1000)
    assert len(backend.given(b"w")) == 1


def test_fast_calls_do_not_wait_for_the_share_to_grow(backend) -> None:
    backend.broker.expect(["users"])
    for call_id in range(500):
        backend.call(call_id)
    backend.employ(b"w", capacity=256)
    rounds = 0
    while tokens := backend.given(b"w"):
        rounds += 1
        backend.work(b"w", *(Response(token, 200, {}, b"") for token in tokens))
    assert len(backend.answers()) == 500
    assert rounds < 10


def test_among_workers_with_different_services_the_least_busy_is_first(backend) -> None:
    backend.employ(b"x", "users", "orders", capacity=9)
    backend.employ(b"y", "users", capacity=9)
    for call_id in range(4):
        backend.call(call_id, "/orders")
    for call_id in range(10, 14):
        backend.call(call_id, "/users")
    assert shares(backend, [b"x", b"y"]) == [4, 4]


# -- silent workers ------------------------------------------------------------------------


def test_a_silent_worker_gets_calls_only_when_the_others_are_full(backend) -> None:
    for address in (b"stuck", b"well"):
        backend.employ(address, capacity=4)
    for second in (0.5, 1.0, 1.5, 2.0):
        backend.tick(second)
        backend.work(b"well", Heartbeat())
    for call_id in range(4):
        backend.call(call_id)
    assert shares(backend, [b"stuck", b"well"]) == [0, 4]
    backend.call(9)
    assert shares(backend, [b"stuck", b"well"]) == [1, 0]


def test_a_silent_worker_that_sends_a_message_gets_calls_again(backend) -> None:
    for address in (b"stuck", b"well"):
        backend.employ(address, capacity=4)
    for second in (1.0, 2.0):
        backend.tick(second)
        backend.work(b"well", Heartbeat())
    backend.call(1)
    backend.work(b"stuck", Heartbeat())
    backend.call(2)
    assert shares(backend, [b"stuck", b"well"]) == [1, 1]


# -- connections ---------------------------------------------------------------------------


def call_plain(backend, address: bytes, envelope: bytes, dialect: str = "plain") -> None:
    frames = {
        "plain": [envelope, b"", b'{"path": "/users"}'],
        "mdp01": [envelope, b"", b"MDPC01", b"users", b""],
        "mdp02": [b"MDPC02", b"\x01", b"users", b""],
    }[dialect]
    found = dialects.read(frames if envelope or dialect == "mdp02" else frames[1:])
    assert isinstance(found, dialects.ForeignCall)
    backend.frontend.receive_foreign(address, found.call, found.return_path, backend.now)
    backend.act()


def test_a_thousand_envelopes_on_one_connection_delay_another_by_one_call(backend) -> None:
    backend.employ(b"w")
    for number in range(1000):
        call_plain(backend, b"flood", b"%d" % number)
    backend.call(1)
    rounds = 0
    while not backend.answers():
        (token,) = backend.given(b"w")
        answer(backend, b"w", token)
        rounds += 1
    assert rounds <= 3


def test_envelopes_share_the_bound_on_calls_of_their_connection(make_backend) -> None:
    backend = make_backend(client_calls=10)
    backend.employ(b"w")
    for number in range(25):
        call_plain(backend, b"flood", b"%d" % number)
    assert sum(b'"status":429' in frames[2] for _, frames in backend.messages) == 15


def test_envelopes_share_the_bound_on_bytes_of_their_connection(make_backend) -> None:
    backend = make_backend(client_bytes=5_000)
    backend.employ(b"w")
    for number in range(25):
        call_plain(backend, b"flood", b"%d" % number)
    assert sum(b'"status":429' in frames[2] for _, frames in backend.messages) == 15


def test_envelopes_of_one_connection_take_turns(backend) -> None:
    backend.employ(b"w")
    for _ in range(20):
        call_plain(backend, b"device", b"busy")
    call_plain(backend, b"device", b"polite")
    for _ in range(3):
        (token,) = backend.given(b"w")
        answer(backend, b"w", token)
    assert [frames[0] for _, frames in backend.messages].count(b"polite") == 1


@pytest.mark.parametrize("dialect", ["mdp01", "mdp02"])
def test_an_mdp_client_may_pipeline_half_of_a_full_queue(make_backend, dialect) -> None:
    backend = make_backend(client_calls=5, service_calls=40)
    backend.say(b"w", Ready("users"))
    for _ in range(25):
        call_plain(backend, b"pipeline", b"", dialect)
    assert len(backend.messages) == 5  # 429s, after 20 calls


def test_a_full_queue_accepts_calls_of_a_client_with_few_in_it(make_backend) -> None:
    backend = make_backend(service_calls=10)
    backend.employ(b"w")
    backend.greet(b"b", b"c")
    for call_id in range(12):
        backend.call(call_id)
    assert backend.answers() == [(11, 503)]
    backend.call(1, address=b"b")
    assert backend.answers() == [(10, 503)]
    backend.call(2, address=b"b")
    assert backend.answers() == [(9, 503)]
    backend.call(1, address=b"c")
    assert backend.answers(b"b") == backend.answers(b"c") == []
    assert backend.broker.services["users"].queue.count == 10


def test_clients_with_equal_shares_of_a_full_queue_displace_no_other(make_backend) -> None:
    backend = make_backend(service_calls=4)
    backend.employ(b"w")
    backend.greet(b"b")
    backend.call(0)
    for call_id in (1, 2):
        backend.call(call_id)
        backend.call(call_id, address=b"b")
    backend.call(3)
    backend.call(3, address=b"b")
    assert (backend.answers(), backend.answers(b"b")) == ([(3, 503)], [(3, 503)])


def test_the_calls_and_bytes_of_a_connection_are_released(backend) -> None:
    for number in range(9):
        call_plain(backend, b"device", b"%d" % number)
    backend.tick(2.0)  # no worker offers the service
    assert len(backend.messages) == 9
    backend.employ(b"w", capacity=99)
    connections = {peer.connection for peer in backend.frontend.clients.all()}
    assert [(one.calls, one.queued_bytes) for one in connections] == [(0, 0)]


# -- services end with their workers -------------------------------------------------------


def test_the_services_of_a_worker_end_with_it(make_backend) -> None:
    backend = make_backend(services=3)
    for number in range(20):
        backend.employ(b"m%d" % number, *(f"mine-{number}-{n}" for n in range(3)))
        backend.work(b"m%d" % number, Goaway("closing"))
    backend.employ(b"honest", "users")
    backend.call(1)
    assert len(backend.given(b"honest")) == 1
    assert len(backend.broker.services) <= 7


def test_no_worker_makes_the_service_of_another_public(make_backend) -> None:
    """One worker does not check tokens, and another announces that its routes are public."""
    backend = make_backend()
    backend.employ(b"honest", "users")
    hello = Hello(VERSION, "other", 1, ("users",), public=("users",))
    backend.work(b"other", hello)
    service = backend.broker.services["users"]
    assert (service.workers, service.has_public_routes) == (2, False)
    backend.work(b"honest", Goaway("closing"))
    assert service.has_public_routes
    backend.work(b"other", Goaway("closing"))
    assert not service.has_public_routes


def test_a_service_without_workers_is_forgotten_after_a_while(make_backend) -> None:
    backend = make_backend(remembered=5)
    backend.employ(b"w")
    backend.work(b"w", Goaway("closing"))
    backend.tick(1.0)
    backend.call(1, ttl=3_000)  # it waits for the next worker, as calls do during a restart
    backend.pass_time(3.5)
    assert backend.answers() == []
    backend.pass_time(30)
    assert backend.answers() == [(1, 504)]
    assert backend.broker.services == {}
    backend.call(2)
    backend.pass_time(32)
    assert backend.answers() == [(2, 503)]


def test_an_expected_service_is_never_forgotten(make_backend) -> None:
    backend = make_backend(remembered=5)
    backend.broker.expect(["users"])
    backend.employ(b"w")
    backend.work(b"w", Goaway("closing"))
    backend.pass_time(60)
    assert "users" in backend.broker.services
