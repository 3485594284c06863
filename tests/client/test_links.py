"""The client's links: every row of the table in `client.links`, heartbeats and silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trizmq.client.links import Link, LinkState
from trizmq.errors import Unreachable
from trizmq.wire.items import VERSION, Call, Goaway, Heartbeat, Hello, Item, Response

if TYPE_CHECKING:
    from tests.client.conftest import ClientRig, MakeClient

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
    if state is LinkState.CONNECTING:
        rig.disconnect(link)
    rig.sent(link)
    rig.reopened.clear()
    return link


CONNECTING, GREETING, READY, DRAINING, REFUSED = LinkState


@pytest.mark.parametrize(
    ("before", "item", "after"),
    [
        (GREETING, WELCOME, READY),
        (GREETING, Goaway("draining"), DRAINING),
        (GREETING, Goaway("version"), REFUSED),
        (GREETING, Goaway("unknown"), CONNECTING),
        (GREETING, Heartbeat(), GREETING),
        (READY, WELCOME, READY),
        (READY, Goaway("draining"), DRAINING),
        (READY, Goaway("closing"), DRAINING),
        (READY, Goaway("unknown"), CONNECTING),
        (READY, Goaway("anything"), CONNECTING),
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
    assert rig.reopened == ([link] if after is CONNECTING else [])
    assert rig.sent(link) == []


@pytest.mark.parametrize("state", list(LinkState))
def test_the_end_of_the_connection_leads_to_another_one(
    make_client: MakeClient, state: LinkState
) -> None:
    rig = make_client()
    link = enter(rig, state)
    rig.disconnect(link)
    assert link.state is CONNECTING
    assert (rig.sent(link), rig.reopened) == ([], [])
    [hello] = rig.connect(link)
    assert isinstance(hello, Hello)
    assert hello.key == link.key
    assert link.state is GREETING


@pytest.mark.parametrize(
    ("state", "says"),
    [(CONNECTING, []), (GREETING, []), (READY, [Heartbeat()]), (REFUSED, [])],
)
def test_a_silent_broker_is_busy_and_not_lost(
    make_client: MakeClient, state: LinkState, says: list[Item]
) -> None:
    rig = make_client()
    link = enter(rig, state)
    for second in range(1, 60):
        rig.pass_time(float(second))
        assert rig.sent(link) == says
        assert link.state is state
    assert rig.reopened == []


def test_the_key_differs_from_link_to_link(make_client: MakeClient) -> None:
    # Two endpoints may be those of one broker: neither connection takes over from the other.
    first, second = make_client("a", "b").links
    assert first.key != second.key


def test_any_item_of_a_call_that_is_over_is_late(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.receive(link, Response(9, 200, {}, b""))
    assert rig.client.late == 1


def test_no_heartbeat_where_something_else_was_said(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.submit()
    rig.tick(1.0)
    assert [type(item) for item in rig.sent(link)] == [Call]
    rig.tick(2.0)
    assert rig.sent(link) == [Heartbeat()]


def test_a_link_that_is_about_to_end_takes_no_more(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.client.hold(link)
    assert rig.submit().link is None
    for state in (CONNECTING, GREETING, REFUSED):
        link.state = state
        rig.client.hold(link)
        assert link.state is state


def test_garbage_ends_the_connection(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.lose(link)  # so does the driver
    assert (link.state, rig.reopened, rig.sent(link)) == (CONNECTING, [link], [])
    rig.disconnect(link)  # the driver says so as well
    assert (link.state, rig.reopened) == (CONNECTING, [link])


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
