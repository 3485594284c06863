"""The client's links: every row of the table in `client.links`, heartbeats and silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trizmq.client.engine import Client
from trizmq.client.links import Link, LinkState
from trizmq.errors import Unreachable
from trizmq.wire.items import VERSION, Call, Cancel, Goaway, Heartbeat, Hello, Item, Response

if TYPE_CHECKING:
    from tests.client.conftest import ClientRig, MakeClient

WELCOME = Hello(VERSION, "broker", 10)


def enter(rig: ClientRig, state: LinkState) -> Link:
    """Bring the first link to ``state``, and forget what was sent."""
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
        (READY, Call(1, 1, "GET", "/", {}, b""), READY),  # a broker must not send this
        (DRAINING, WELCOME, READY),
        (DRAINING, Goaway("draining"), DRAINING),
        (DRAINING, Goaway("unknown"), CONNECTING),
        (REFUSED, WELCOME, REFUSED),
        (REFUSED, Goaway("version"), REFUSED),
        (REFUSED, Heartbeat(), REFUSED),
    ],
)
def test_an_item_from_a_broker_changes_the_state_of_the_link(
    make_client: MakeClient, before: LinkState, item: Item, after: LinkState
) -> None:
    rig = make_client()
    link = enter(rig, before)
    rig.receive(link, item)
    assert link.state is after
    assert rig.reopened == ([link] if after is CONNECTING else [])
    assert rig.sent(link) == []


@pytest.mark.parametrize("state", list(LinkState))
def test_a_link_reconnects_when_its_connection_ends(
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
    # Two endpoints may belong to one broker: neither connection takes over from the other.
    first, second = make_client("a", "b").links
    assert first.key != second.key


def test_an_item_of_a_call_that_has_ended_is_late(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.receive(link, Response(9, 200, {}, b""))
    assert rig.client.calls.late == 1


def test_a_heartbeat_is_sent_only_if_nothing_else_was(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.submit()
    rig.tick(1.0)
    assert [type(item) for item in rig.sent(link)] == [Call]
    rig.tick(2.0)
    assert rig.sent(link) == [Heartbeat()]


def test_a_link_that_is_about_to_end_accepts_no_more_calls(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.client.hold(link)
    assert rig.submit().link is None
    for state in (CONNECTING, GREETING, REFUSED):
        link.state = state
        rig.client.hold(link)
        assert link.state is state


def test_an_unreadable_message_ends_the_connection(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.lose(link)  # as the driver does
    assert (link.state, rig.reopened, rig.sent(link)) == (CONNECTING, [link], [])
    rig.disconnect(link)  # the driver then reports the end
    assert (link.state, rig.reopened) == (CONNECTING, [link])


def test_an_endpoint_that_is_listed_twice_is_one_link(make_client: MakeClient) -> None:
    assert [link.endpoint for link in make_client("a", "b", "a").links] == ["a", "b"]


def test_is_connected(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    assert not rig.client.is_connected
    rig.welcome(rig.links[1])
    assert rig.client.is_connected
    rig.receive(rig.links[1], Goaway("draining"))
    assert not rig.client.is_connected


def test_calls_end_at_once_when_every_broker_refuses_the_client(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    waiting = rig.submit()
    rig.receive(first, Goaway("version"))
    assert not waiting.ended
    rig.receive(second, Goaway("version"))
    assert rig.ended == [waiting]
    assert isinstance(waiting.outcome, Unreachable)
    assert waiting.outcome.executed == "no"
    with pytest.raises(Unreachable, match=r"^a, b uses another version") as caught:
        rig.submit()
    assert caught.value.executed == "no"
    rig.assert_nothing_is_left()


def test_close_says_goodbye_to_brokers_that_know_the_client(make_client: MakeClient) -> None:
    rig = make_client("connecting", "ready", "draining")
    connecting, ready, draining = rig.links
    rig.welcome(ready, draining)
    rig.receive(draining, Goaway("draining"))
    rig.client.close()
    assert rig.sent(connecting) == []
    assert rig.sent(ready) == rig.sent(draining) == [Goaway("closing")]


# -- links that are added and removed ------------------------------------------------------


def test_waiting_calls_are_sent_on_an_added_link(make_client: MakeClient) -> None:
    rig = make_client("a")
    pending = rig.submit()
    link = rig.add("b")
    assert (pending.link, [type(item) for item in rig.sent(link)]) == (link, [Call])


def test_an_endpoint_has_one_link_that_accepts_calls(make_client: MakeClient) -> None:
    rig = make_client("a")
    [link] = rig.links
    assert rig.client.add("a", rig.now) is link
    rig.welcome(link)
    rig.submit()
    rig.remove(link)
    another = rig.client.add("a", rig.now)
    assert another is not link  # the leaving link still has calls
    assert another.key != link.key


def test_an_idle_link_that_is_removed_says_goodbye_and_leaves(make_client: MakeClient) -> None:
    rig = make_client()
    link = enter(rig, READY)
    rig.remove(link)
    assert (rig.left, rig.sent(link), rig.links) == ([link], [Goaway("closing")], [])


@pytest.mark.parametrize("state", [CONNECTING, GREETING, REFUSED])
def test_a_link_without_a_hello_leaves_without_a_goodbye(
    make_client: MakeClient, state: LinkState
) -> None:
    rig = make_client()
    link = enter(rig, state)
    rig.remove(link)
    assert (rig.left, rig.sent(link), rig.links) == ([link], [], [])


def test_calls_in_flight_on_a_removed_link_may_finish(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first, second)
    pendings = [rig.submit() for _ in range(2)]
    rig.sent(first)
    rig.remove(first)
    assert rig.submit().link is second
    rig.receive(first, Response(pendings[0].id, 200, {}, b""))
    assert (rig.left, rig.sent(first)) == ([], [])
    rig.receive(first, Response(pendings[1].id, 200, {}, b""))
    assert rig.ended == pendings
    assert (rig.left, rig.sent(first)) == ([first], [Goaway("closing")])
    rig.act()
    assert rig.left == [first]


def test_unsent_calls_on_a_removed_link_go_to_another(
    make_client: MakeClient,
) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first, second)
    sent = rig.submit()
    rig.sent(first)
    unsent = rig.submit()
    rig.client.cancel(sent)
    rig.remove(first)
    assert (unsent.link, unsent.attempts) == (second, 1)
    # The broker must still receive the cancellation.
    assert rig.sent(first) == [Cancel(sent.id), Goaway("closing")]


def test_without_any_link_calls_wait_for_the_next_one(make_client: MakeClient) -> None:
    rig = make_client("a")
    rig.welcome(*rig.links)
    rig.remove(rig.links[0])
    pending, late = rig.submit(), rig.submit(deadline=5.0)
    rig.pass_time(10.0)
    assert rig.ended == [late]
    assert str(late.outcome) == "no response from no endpoint"
    link = rig.add("b")
    assert pending.link is link
    rig.receive(link, Response(pending.id, 200, {}, b""))
    rig.assert_nothing_is_left()


def test_a_client_may_begin_without_any_endpoint() -> None:
    client = Client((), instance="client", now=0.0)
    assert (client.is_connected, client.links.are_refused) == (False, False)
    assert client.next_tick == 1.0
    client.tick(1.0)
    client.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_calls_of_a_leaving_link_whose_broker_ends(make_client: MakeClient, method: str) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first, second)
    pending = rig.submit(method)
    rig.sent(first)
    rig.remove(first)
    rig.disconnect(first)
    assert rig.left == []  # the next connection may bring the response
    rig.client.bury(first, rig.now)
    rig.act()
    assert rig.left == [first]
    assert rig.sent(first) == []
    if method == "GET":
        assert pending.link is second
    else:
        assert isinstance(pending.outcome, Unreachable)


def test_a_leaving_link_is_resumed_and_then_leaves(make_client: MakeClient) -> None:
    rig = make_client("a")
    [link] = rig.links
    rig.welcome(link)
    pending = rig.submit()
    rig.sent(link)
    rig.remove(link)
    rig.disconnect(link)
    rig.welcome(link, seen=pending.id)
    rig.tick(1.0)
    rig.tick(2.0)
    assert rig.sent(link) == [Heartbeat()]
    waiting = rig.submit()
    assert waiting.link is None
    rig.receive(link, Response(pending.id, 200, {}, b""))
    assert (rig.ended, rig.left) == ([pending], [link])


def test_calls_end_when_the_remaining_brokers_refuse_the_client(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.receive(first, Goaway("version"))
    waiting = rig.submit()
    rig.remove(second)
    assert rig.ended == [waiting]
    assert isinstance(waiting.outcome, Unreachable)


def test_close_says_goodbye_on_a_leaving_link_too(make_client: MakeClient) -> None:
    rig = make_client("a")
    [link] = rig.links
    rig.welcome(link)
    rig.submit()
    rig.sent(link)
    rig.remove(link)
    rig.client.close()
    assert rig.sent(link) == [Goaway("closing")]
    rig.assert_nothing_is_left()
