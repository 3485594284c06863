"""A client checks the size of a call before it sends it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq.bounds import find_oversize_part
from trizmq.client.brokers import PATIENCE
from trizmq.client.links import SMALL, Pending
from trizmq.client.requests import _weight
from trizmq.errors import LocalProtocolError
from trizmq.messages import Response
from trizmq.wire.items import DEFAULT_TAKES, VERSION, Call, Hello, Takes

MIB = 1024 * 1024

TOO_LARGE: list[tuple[dict[str, Any], int]] = [
    ({"body": bytes(16 * MIB + 1)}, 413),
    ({"target": "/" + "x" * 2048}, 414),
    ({"target": "/" + "\u20ac" * 700}, 414),
    ({"headers": {"a": "x" * 4096}}, 431),
    ({"headers": {f"a{n}": "" for n in range(65)}}, 431),
    ({"headers": {f"a{n}": "x" * 4000 for n in range(5)}}, 431),
]


def status_of(pending: Pending) -> int:
    assert isinstance(pending.outcome, Response)
    assert pending.outcome.json()["executed"] == "no"
    return pending.outcome.status


@pytest.mark.parametrize(("fields", "status"), TOO_LARGE)
@pytest.mark.parametrize("is_timed", [True, False])
def test_a_call_that_is_too_large_is_not_sent(
    make_client: Any, fields: dict[str, Any], status: int, is_timed: bool
) -> None:
    rig = make_client()
    rig.welcome(*rig.links)
    pending = rig.submit(is_timed=is_timed, **fields)
    assert rig.ended == [pending]
    assert status_of(pending) == status
    assert rig.sent(rig.links[0]) == []
    rig.assert_nothing_is_left()


@pytest.mark.parametrize(("fields", "status"), TOO_LARGE)
def test_without_a_broker_a_large_call_waits_briefly(
    make_client: Any, fields: dict[str, Any], status: int
) -> None:
    rig = make_client()
    pending = rig.submit(**fields)
    assert not pending.ended
    rig.pass_time(PATIENCE - 0.01)
    assert not pending.ended
    rig.pass_time(PATIENCE)
    assert status_of(pending) == status
    again = rig.submit(**fields)
    assert status_of(again) == status
    other = rig.submit()
    assert not other.ended
    rig.client.cancel(other)
    rig.assert_nothing_is_left()


def test_the_hello_of_a_broker_has_its_limits(make_client: Any) -> None:
    rig = make_client()
    (link,) = rig.links
    waiting = rig.submit(body=bytes(20 * MIB))
    small = rig.submit(body=bytes(2000))
    rig.receive(link, Hello(VERSION, "broker", 10, takes=Takes(30 * MIB, 31 * MIB)))
    assert [item.id for item in rig.sent(link) if isinstance(item, Call)] == [waiting.id, small.id]
    assert status_of(rig.submit(body=bytes(31 * MIB))) == 413
    rig.receive(link, Hello(VERSION, "broker", 10, takes=Takes(2000, 2 * MIB)))
    assert status_of(rig.submit(body=bytes(2001))) == 413
    assert not rig.submit(body=bytes(2000)).ended


def test_waiting_calls_are_checked_again_when_they_are_sent(make_client: Any) -> None:
    rig = make_client()
    (link,) = rig.links
    waiting = rig.submit(body=bytes(10 * MIB))
    behind = rig.submit()
    rig.receive(link, Hello(VERSION, "broker", 10, takes=Takes(1 * MIB, 2 * MIB)))
    assert status_of(waiting) == 413
    assert [item.id for item in rig.sent(link) if isinstance(item, Call)] == [behind.id]


def test_a_call_waits_for_a_broker_with_a_higher_limit(make_client: Any) -> None:
    """One of two brokers accepts this call; it is away, and may come back."""
    rig = make_client("one", "two")
    _one, two = rig.links
    rig.receive(two, Hello(VERSION, "two", 10, takes=Takes(30 * MIB, 31 * MIB)))
    rig.lose(two)
    pending = rig.submit(body=bytes(20 * MIB))
    rig.pass_time(PATIENCE + 1)
    assert not pending.ended
    assert status_of(rig.submit(body=bytes(31 * MIB))) == 413


@given(st.text(max_size=400), st.dictionaries(st.text(max_size=40), st.text(max_size=400)))
def test_the_shortcut_for_small_calls_is_exact(rest: str, headers: dict[str, str]) -> None:
    """The shortcut never accepts a call that the exact check refuses."""
    target = f"/{rest}"
    weight = 4 * (len("POST") + len(target)) + _weight(headers)
    if weight <= SMALL:
        assert find_oversize_part("POST", target, headers, b"", DEFAULT_TAKES) is None


def test_an_item_that_cannot_be_encoded_affects_no_other(make_client: Any) -> None:
    rig = make_client()
    (link,) = rig.links
    rig.welcome(link)
    first, second = rig.submit(headers={"a": "\ud800"}), rig.submit()
    error = LocalProtocolError("no")
    assert rig.client.calls.discard_first(link, error) is first
    assert (first.ended, first.outcome) == (True, error)
    assert [item.id for item in rig.sent(link) if isinstance(item, Call)] == [second.id]
    rig.client.cancel(second)
    rig.sent(link)
    rig.assert_nothing_is_left()
