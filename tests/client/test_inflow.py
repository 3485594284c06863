"""A streamed response at the client: order, count, window and end."""

from __future__ import annotations

import pytest

from trizmq.client.parts import Inflow
from trizmq.errors import RemoteProtocolError
from trizmq.headers import Headers
from trizmq.messages import Response, ResponseError, problem


@pytest.fixture
def inflow() -> Inflow:
    inflow = Inflow(1000, lambda: None)
    inflow.begin(200, Headers())
    return inflow


def test_parts_are_read_in_order() -> None:
    inflow = Inflow(1000, lambda: None)
    inflow.begin(201, Headers({"a": "b"}))
    inflow.add(0, b"x")
    inflow.add(1, [b"y", b"z"])
    assert [inflow.take() for _ in range(4)] == [b"x", b"y", b"z", None]
    assert (inflow.status, inflow.headers, inflow.has_ended) == (201, {"a": "b"}, False)


def test_a_part_before_the_head_is_an_error() -> None:
    inflow = Inflow(1000, lambda: None)
    with pytest.raises(RemoteProtocolError, match="before its head"):
        inflow.add(0, b"x")


def test_a_missing_part_is_an_error(inflow: Inflow) -> None:
    inflow.add(0, b"x")
    with pytest.raises(RemoteProtocolError, match="part 2 of a stream came where 1 was due"):
        inflow.add(2, b"y")


@pytest.mark.parametrize(("count", "is_whole"), [(0, True), (1, True), (2, False)])
def test_the_end_shows_whether_the_last_parts_are_missing(
    inflow: Inflow, count: int, is_whole: bool
) -> None:
    inflow.add(0, b"x")
    outcome = inflow.finish(Response(200), count)
    assert isinstance(outcome, Response) is is_whole
    assert inflow.has_ended
    if not is_whole:
        assert "1 of the 2 parts" in str(outcome)


def test_credit_is_granted_when_half_of_the_window_was_read(inflow: Inflow) -> None:
    for seq in range(5):
        inflow.add(seq, bytes(22))  # 150 with its overhead
    grants = []
    while inflow.take() is not None:
        grants.append(inflow.take_credit())
    assert grants == [0, 0, 0, 600, 0]
    inflow.has_ended = True
    assert inflow.take_credit() == 0


def test_a_sender_that_ignores_the_window_is_an_error(inflow: Inflow) -> None:
    inflow.add(0, bytes(5000))  # one part may exceed the window
    with pytest.raises(RemoteProtocolError, match="more than its window, 1000"):
        inflow.add(1, b"")


def test_a_response_without_a_head_is_ordinary() -> None:
    inflow = Inflow(1000, lambda: None)
    response = problem(404, "no such thing")
    assert inflow.finish(response, 0) is response
    assert (inflow.status, inflow.headers) == (404, response.headers)
    assert inflow.take() == response.body


@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_error_at_the_end_of_a_stream_is_raised_after_the_parts(
    status: int,
) -> None:
    inflow = Inflow(1000, lambda: None)
    inflow.begin(status, Headers())
    inflow.add(0, b"x")
    outcome = inflow.finish(problem(500, "it failed"), 1)
    assert isinstance(outcome, ResponseError)
    assert str(outcome) == "500 Internal Server Error: it failed"
    assert [inflow.take(), inflow.take()] == [b"x", None]


def test_a_stream_with_an_error_status_ends_like_any_other() -> None:
    inflow = Inflow(1000, lambda: None)
    inflow.begin(404, Headers())
    inflow.add(0, b"x")
    assert inflow.finish(Response(404), 1) == Response(404)
