"""Time in socket buffers counts: a suspended process may read calls that are too late."""

from __future__ import annotations

import pytest

from trizmq.wire.items import Call


def ask(backend, call_id: int, sent: int, ttl: int = 1000) -> None:
    backend.call(call_id, ttl=ttl, sent=sent)


def test_a_post_whose_caller_has_gone_reaches_no_worker(backend, read_problem) -> None:
    backend.employ(b"w", capacity=9)
    backend.now = 10.0
    ask(backend, 1, 50_000)
    assert len(backend.given(b"w")) == 1
    backend.now = 12.5  # the process was suspended
    ask(backend, 2, 50_500)  # two seconds ago
    ask(backend, 3, 52_400)
    assert len(backend.given(b"w")) == 1
    (response,) = backend.responses()
    assert (response.id, response.status) == (2, 504)
    assert read_problem(response)["executed"] == "no"


def test_time_in_transit_reduces_the_time_that_a_call_has_left(backend) -> None:
    backend.employ(b"w", capacity=9)
    backend.now = 10.0
    ask(backend, 1, 50_000)
    backend.now = 12.0
    ask(backend, 2, 51_400)  # 0.6 s
    (_, call) = [one for one in backend.heard(b"w") if isinstance(one, Call)]
    assert call.ttl == pytest.approx(400, abs=2)
    backend.tick(12.5)
    assert (2, 504) in backend.answers()
