"""Streams through the engine: heads, parts and credit, between a client and a native worker."""

from __future__ import annotations

from typing import Any

import pytest

from trizmq.hook_values import Discard, Forward, Reject, SendTo
from trizmq.wire.items import VERSION, Call, Cancel, Credit, Head, Hello, Part, Response


@pytest.fixture
def stream(backend: Any) -> Any:
    """Return (backend, token) of a stream with a window of 100 bytes, at the worker ``w``."""
    return start(backend)


def start(backend: Any, call_id: int = 1, **details: Any) -> Any:
    backend.employ(b"w")
    backend.call(call_id, window=100, method="GET", **details)
    (call,) = [item for item in backend.heard(b"w") if isinstance(item, Call)]
    assert call.window == 100
    return backend, call.id


def sent(backend: Any) -> list[Any]:
    """Take the items that the client was sent."""
    items, backend.items = [item for _, item in backend.items], []
    return items


def test_head_parts_and_end_reach_the_client(stream: Any) -> None:
    backend, token = stream
    backend.work(b"w", Head(token, 202, {"a": "b"}), Part(token, 0, b"x"), Part(token, 1, b"y"))
    assert sent(backend) == [Head(1, 202, {"a": "b"}), Part(1, 0, b"x"), Part(1, 1, b"y")]
    backend.work(b"w", Response(token, 202, {}, b""))
    assert sent(backend) == [Response(1, 202, {}, b"", parts=2)]


def test_a_worker_that_sends_no_head_gets_one_with_status_200(stream: Any) -> None:
    backend, token = stream
    backend.work(b"w", Part(token, 0, b"x"), Part(token, 1, b"y"))
    assert sent(backend) == [Head(1, 200, {}), Part(1, 0, b"x"), Part(1, 1, b"y")]


def test_a_head_is_kept_for_a_client_that_is_away(stream: Any) -> None:
    backend, _ = stream
    head = Head(1, 202, {})
    backend.receive(Hello(VERSION, "b", key="secret"), address=b"b")
    backend.call(2, window=100, address=b"b")
    backend.frontend.miss(b"b", [head], backend.now)
    backend.receive(
        Hello(VERSION, "b", key="secret", resumes="broker01", in_flight=(2,)), address=b"c"
    )
    assert head in [item for to, item in backend.items if to == b"c"]


def test_credit_of_the_client_reaches_the_worker(stream: Any) -> None:
    backend, token = stream
    backend.receive(Credit(1, 70))
    assert backend.heard(b"w") == [Credit(token, 70)]
    backend.work(b"w", Response(token, 200, {}, b""))
    backend.receive(Credit(1, 70))  # it has ended: its end is in transit
    assert backend.heard(b"w") == []
    assert backend.broker.counters.unexpected == 0


@pytest.mark.parametrize("more", [0, -1])
def test_credit_that_grants_nothing_is_counted(stream: Any, more: int) -> None:
    backend, _ = stream
    backend.receive(Credit(1, more))
    assert backend.heard(b"w") == []
    assert backend.broker.counters.unexpected == 1


def test_the_parts_of_a_stream_have_no_limit_together(stream: Any) -> None:
    backend, token = stream
    most = backend.broker.limits.body_bytes
    backend.work(b"w", Head(token, 200, {}))
    for seq in range(3):
        backend.work(b"w", Part(token, seq, bytes(most)))
    backend.work(b"w", Response(token, 200, {"a": "b"}, b""))
    assert [item.status for item in sent(backend) if isinstance(item, Response)] == [200]


@pytest.mark.parametrize("head", [Head(0, 99, {}), Head(0, 200, {"a\n": "b"})])
def test_an_invalid_head_is_a_502(stream: Any, head: Head) -> None:
    backend, token = stream
    backend.work(b"w", Head(token, head.status, head.headers))
    assert [item.status for item in sent(backend)] == [502]
    assert backend.heard(b"w") == [Cancel(token)]


def test_a_head_that_is_too_large_is_a_500(stream: Any) -> None:
    backend, token = stream
    backend.work(b"w", Head(token, 200, {"a": "b" * 5000}))
    assert [item.status for item in sent(backend)] == [500]
    assert backend.heard(b"w") == [Cancel(token)]


def test_a_second_head_and_one_without_a_window_are_dropped(stream: Any) -> None:
    backend, token = stream
    backend.work(b"w", Head(token, 200, {}), Head(token, 201, {}))
    assert sent(backend) == [Head(1, 200, {})]
    backend.work(b"w", Response(token, 200, {}, b""))
    backend.call(2, method="GET")
    (other,) = backend.given(b"w")
    sent(backend)
    backend.work(b"w", Head(other, 201, {}))
    assert sent(backend) == []
    backend.work(b"w", Head(999, 200, {}))
    assert backend.broker.counters.forged == 1


def test_a_stream_that_has_begun_is_not_repeated(stream: Any) -> None:
    backend, token = stream
    backend.work(b"w", Head(token, 200, {}))
    backend.employ(b"v")
    backend.backend.lose(b"w", backend.now)
    backend.act()
    (head, end) = sent(backend)
    assert (head, end.status) == (Head(1, 200, {}), 502)
    assert backend.given(b"v") == []


def test_a_stream_that_has_not_begun_goes_to_another_worker(stream: Any) -> None:
    backend, _ = stream
    backend.employ(b"v")
    backend.backend.lose(b"w", backend.now)
    backend.act()
    assert len(backend.given(b"v")) == 1


def test_the_deadline_of_a_stream_may_be_years_away(backend: Any) -> None:
    year = 365 * 86_400
    start(backend, ttl=10 * year * 1000)
    backend.call(2, ttl=10 * year * 1000)
    stream, call = backend.frontend.clients.native[b"a"].flights.values()
    assert (stream.deadline, call.deadline) == (10 * year, backend.broker.limits.max_ttl)


def test_streams_do_not_count_for_the_estimate_of_their_route(backend: Any) -> None:
    backend.employ(b"w")
    for call_id in range(20):
        backend.call(call_id, window=100, method="GET")
        (token,) = backend.given(b"w")
        backend.now += 2.0
        backend.work(b"w", Response(token, 200, {}, b""))
    assert not backend.broker.services["users"].estimates.whole.is_known


@pytest.mark.parametrize(
    ("verdict", "status"), [(Forward(), None), (Reject(403, "no"), 403), (Discard(), 0)]
)
def test_a_reply_hook_decides_about_the_head(
    make_backend: Any, verdict: Any, status: int | None
) -> None:
    seen = []

    def admit_reply(call: Any) -> Any:
        seen.append((call.response.status, call.response.body))
        return verdict

    backend, token = start(make_backend(admit_reply=admit_reply))
    backend.work(b"w", Head(token, 200, {}))
    assert seen == [(200, b"")]
    items = sent(backend)
    if status is None:
        backend.work(b"w", Response(token, 200, {}, b""))
        assert [*items, *sent(backend)] == [Head(1, 200, {}), Response(1, 200, {}, b"")]
        assert len(seen) == 1
    else:
        assert [item.status for item in items] == ([status] if status else [])
        assert backend.heard(b"w") == [Cancel(token)]


def test_a_reply_hook_can_send_a_stream_to_another_service(make_backend: Any) -> None:
    def admit_reply(call: Any) -> Any:
        return SendTo(service="other") if call.service == "users" else Forward()

    backend, token = start(make_backend(admit_reply=admit_reply))
    backend.employ(b"v", "other")
    backend.work(b"w", Head(token, 404, {}))
    assert backend.heard(b"w") == [Cancel(token)]
    (again,) = [item for item in backend.heard(b"v") if isinstance(item, Call)]
    assert (again.target, again.window) == ("/other", 100)
    backend.work(b"v", Head(again.id, 200, {}))
    assert sent(backend) == [Head(1, 200, {})]
