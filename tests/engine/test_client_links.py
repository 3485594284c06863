"""The client's links: every row of the table in `engine.links`, heartbeats and silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trizmq.engine.links import Link, LinkState
from trizmq.errors import Unreachable
from trizmq.wire.items import VERSION, Call, Goaway, Heartbeat, Hello, Item, Response

if TYPE_CHECKING:
    from tests.engine.conftest import ClientRig, MakeClient

HELLO = Hello(VERSION, "client")
WELCOME = Hello(VERSION, "broker", 10)


def enter(rig: ClientRig, state: LinkState) -> Link:
    """Bring the first link to ``state``, and forget what was said."""
    [link] = rig.links
    if state in (LinkState.READY, LinkState.DRAINING):
        rig.welcome(link)
    if state is LinkState.DRAINING:
        rig.receive(link, Goaway("draining"))
    if state is LinkState.REFUSED:
        rig.receive(link, Goaway("version"))
    assert link.state is state
    rig.sent(link)
    rig.reopened.clear()
    return link


CONNECTING, READY, DRAINING, REFUSED = LinkState


@pytest.mark.parametrize(
    ("before", "item", "after"),
    [
        (CONNECTING, WELCOME, READY),
        (CONNECTING, Goaway("draining"), DRAINING),
        (CONNECTING, Goaway("version"), REFUSED),
        (CONNECTING, Heartbeat(), CONNECTING),
        (READY, WELCOME, READY),
        (READY, Goaway("draining"), DRAINING),
        (READY, Goaway("unknown"), CONNECTING),
        (READY, Goaway("closing"), CONNECTING),
        (READY, Heartbeat(), READY),
        (READY, Call(1, 1, "GET", "/", {}, b""), READY),  # no business of a broker
        (DRAINING, WELCOME, READY),
        (DRAINING, Goaway("draining"), DRAINING),
        (DRAINING, Goaway("unknown"), CONNECTING),
        (REFUSED, WELCOME, REFUSED),
        (REFUSED, Goaway("version"), REFUSED),
        (REFUSED, Heartbeat(), REFUSED),
    ],
)
def test_what_a_broker_says_moves_the_link(
    make_client: MakeClient, before: LinkState, item: Item, after: LinkState
) -> None:
    rig = make_client()
    link = enter(rig, before)
    rig.receive(link, item)
    assert link.state is after
    # Starting anew means a new socket, and hello.
    starts_anew = after is CONNECTING and before is not CONNECTING
    assert rig.reopened == ([link] if starts_anew else [])
    assert rig.sent(link) == ([HELLO] if starts_anew else [])


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (CONNECTING, CONNECTING, HELLO),  # forever: nobody was there yet
        (READY, CONNECTING, Heartbeat()),
        (REFUSED, REFUSED, None),
    ],
)
def test_silence(
    make_client: MakeClient, before: LinkState, after: LinkState, says: Item | None
) -> None:
    rig = make_client()
    link = enter(rig, before)
    for second in (1.0, 2.0, 3.0):
        rig.pass_time(second)
        assert rig.sent(link) == [says] * (says is not None)
        assert link.state is before
    rig.pass_time(4.0)
    assert link.state is after
    assert rig.reopened == ([link] if before is READY else [])


def test_a_broker_that_drains_and_has_answered_all_is_asked_anew(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, DRAINING)
    rig.pass_time(1.0)
    assert link.state is CONNECTING
    assert (rig.sent(link), rig.reopened) == ([HELLO], [link])


def test_hello_is_not_said_twice_before_it_left(make_client: MakeClient) -> None:
    rig = make_client()
    [link] = rig.links
    rig.tick(1.0)
    rig.tick(2.0)
    assert rig.sent(link) == [HELLO]


def test_any_item_is_a_sign_of_life(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    for second in range(1, 20):
        rig.pass_time(float(second))
        rig.receive(link, Heartbeat() if second % 2 else Response(9, 200, {}, b""))
    assert link.state is READY
    assert rig.client.late == 9


def test_no_heartbeat_where_something_else_was_said(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.submit()
    rig.tick(1.0)
    assert [type(item) for item in rig.sent(link)] == [Call]
    rig.tick(2.0)
    assert rig.sent(link) == [Heartbeat()]


def test_our_own_sleep_is_not_the_brokers_silence(make_client: MakeClient) -> None:
    # The process was stopped, or a callee blocked the loop: what the broker said meanwhile
    # has not been read yet.
    rig = make_client()
    link = enter(rig, READY)
    pending = rig.submit()
    rig.tick(20.0)
    assert (link.state, pending.ended) == (READY, False)
    rig.pass_time(24.5)  # but now we listen
    assert link.state is CONNECTING


def test_garbage_starts_the_link_anew(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.lose(link)  # so does the driver
    assert (link.state, rig.reopened, rig.sent(link)) == (CONNECTING, [link], [HELLO])


def test_unsent_items_are_void_with_their_broker(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.submit()
    rig.lose(link)
    assert link.outgoing == [HELLO]


def test_endpoints_that_are_named_twice_are_one_link(make_client: MakeClient) -> None:
    assert [link.endpoint for link in make_client("a", "b", "a").links] == ["a", "b"]


def test_is_connected(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    assert not rig.client.is_connected
    rig.welcome(rig.links[1])
    assert rig.client.is_connected
    rig.receive(rig.links[1], Goaway("draining"))
    assert not rig.client.is_connected


def test_when_every_broker_refuses_calls_end_at_once(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    waiting = rig.submit()
    rig.receive(first, Goaway("version"))
    assert not waiting.ended
    rig.receive(second, Goaway("version"))
    assert rig.ended == [waiting]
    assert isinstance(waiting.outcome, Unreachable)
    assert waiting.outcome.executed == "no"
    with pytest.raises(Unreachable, match=r"^a, b speaks another version") as caught:
        rig.submit()
    assert caught.value.executed == "no"
    rig.assert_nothing_is_left()


def test_close_says_goodbye_to_who_knows_us(make_client: MakeClient) -> None:
    rig = make_client("connecting", "ready", "draining")
    connecting, ready, draining = rig.links
    rig.welcome(ready, draining)
    rig.receive(draining, Goaway("draining"))
    rig.client.close()
    assert rig.sent(connecting) == []
    assert rig.sent(ready) == rig.sent(draining) == [Goaway("closing")]
