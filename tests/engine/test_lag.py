"""Time in socket buffers counts: what a process reads that stood still may be too late."""

from __future__ import annotations

import pytest

from trizmq.deadlines import Lag
from trizmq.wire import native
from trizmq.wire.items import VERSION, Call, Cancel, Hello, Response
from trizmq.worker.dialects import NativeConversation


def test_what_was_longer_on_its_way_than_others_is_late() -> None:
    lag = Lag()
    assert lag.of(5_000, 100.0) == 0  # how far the clocks are apart nobody knows
    assert lag.of(6_000, 101.0) == 0
    assert lag.of(7_000, 104.0) == pytest.approx(2.0, abs=0.01)
    assert lag.of(9_900, 104.9) == 0


def test_a_quicker_one_is_the_new_measure() -> None:
    lag = Lag()
    lag.of(5_000, 102.0)  # it lay there for two seconds
    assert lag.of(8_000, 103.0) == 0
    assert lag.of(9_000, 105.0) == pytest.approx(1.0, abs=0.01)


def test_a_few_milliseconds_are_not_looked_at() -> None:
    lag = Lag()
    lag.of(1_000, 1.0)
    assert lag.of(2_000, 2.04) == 0


def test_the_first_call_is_a_measure_if_others_say_when_they_were_sent() -> None:
    lag = Lag()
    assert lag.of(0, 100.0) == 0
    assert lag.of(1_000, 103.0) == pytest.approx(2.0, abs=0.01)


def test_a_peer_that_says_nothing_is_never_late() -> None:
    lag = Lag()
    assert [lag.of(0, float(now)) for now in range(1, 100)] == [0.0] * 99


def test_clocks_may_drift() -> None:
    lag = Lag()
    for second in range(1, 100_000):
        assert lag.of(second * 1000, second * 1.00005) == 0


def ask(backend, call_id: int, sent: int, ttl: int = 1000) -> None:
    backend.call(call_id, ttl=ttl, sent=sent)


def test_a_post_whose_caller_has_gone_is_not_given_to_a_worker(backend, read_problem) -> None:
    backend.employ(b"w", capacity=9)
    backend.now = 10.0
    ask(backend, 1, 50_000)
    assert len(backend.given(b"w")) == 1
    backend.now = 12.5  # it stood still
    ask(backend, 2, 50_500)  # two seconds ago
    ask(backend, 3, 52_400)
    assert len(backend.given(b"w")) == 1
    (response,) = backend.responses()
    assert (response.id, response.status) == (2, 504)
    assert read_problem(response)["executed"] == "no"


def test_a_call_that_was_on_its_way_has_less_time_left(backend) -> None:
    backend.employ(b"w", capacity=9)
    backend.now = 10.0
    ask(backend, 1, 50_000)
    backend.now = 12.0
    ask(backend, 2, 51_400)  # 0.6 s
    (_, call) = [one for one in backend.heard(b"w") if isinstance(one, Call)]
    assert call.ttl == pytest.approx(400, abs=2)
    backend.tick(12.5)
    assert (2, 504) in backend.answers()


def test_a_worker_that_stood_still_does_not_begin_what_is_over() -> None:
    talk = NativeConversation(Hello(VERSION, "w", 4, ("users",)), now=0.0)

    def hear(now: float, *items) -> list:
        talk.receive(native.encode(items), now)
        return talk.take_outbox().started

    talk.take_outbox()
    hear(0.0, Hello(VERSION, "broker"))
    assert len(hear(1.0, Call(1, 1000, "POST", "/users", {}, b"", None, "", 7_000))) == 1
    assert hear(4.0, Call(2, 1000, "POST", "/users", {}, b"", None, "", 7_500)) == []
    talk.receive(native.encode([Cancel(2)]), 4.0)
    talk.tick(5.0)
    said = [item for frames in talk.take_outbox().messages for item in native.decode(frames)]
    assert Response(2, 504, {}, b"", stopped=True) not in said  # that was said at once
