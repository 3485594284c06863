"""Calls whose connection has ended: every row of the table in `client.recovery`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trizmq.client.links import LinkState
from trizmq.errors import Unreachable
from trizmq.messages import Response as Outcome
from trizmq.wire.items import Call, Cancel, Goaway, Hello, Item, Part, Response

if TYPE_CHECKING:
    from tests.client.conftest import ClientRig, MakeClient
    from trizmq.client.links import Link, Pending

METHODS = ("GET", "POST")


@pytest.fixture
def rig(make_client: MakeClient) -> ClientRig:
    """A client whose only link is ready."""
    rig = make_client()
    rig.welcome(*rig.links)
    return rig


def sent_calls(rig: ClientRig, link: Link) -> list[tuple[int, str]]:
    return [(one.id, one.target) for one in rig.sent(link) if isinstance(one, Call)]


def ok(call_id: int) -> Item:
    return Response(call_id, 200, {}, b"ok")


def executed(pending: Pending) -> str:
    assert isinstance(pending.outcome, Unreachable)
    return pending.outcome.executed


def test_unsent_calls_wait_and_are_sent_once(rig: ClientRig) -> None:
    [link] = rig.links
    pendings = [rig.submit(method) for method in METHODS]  # the socket was full
    rig.disconnect(link)
    assert (rig.client.calls.waiting.count, rig.client.links.in_flight, link.outgoing) == (2, 0, [])
    assert [pending.attempts for pending in pendings] == [0, 0]
    rig.client.bury(link, rig.now)
    rig.welcome(link, broker="another")
    assert [target for _, target in sent_calls(rig, link)] == ["/users", "/users"]
    assert [pending.attempts for pending in pendings] == [1, 1]


def test_the_hello_names_the_client_and_its_calls_in_flight(rig: ClientRig) -> None:
    [link] = rig.links
    kept, gone = rig.submit("POST"), rig.submit("GET")
    rig.sent(link)
    rig.disconnect(link)
    assert rig.ended == []
    rig.client.cancel(gone)
    [hello] = rig.connect(link)
    assert isinstance(hello, Hello)
    assert (hello.resumes, hello.in_flight) == ("broker one", (kept.id,))
    assert link.outgoing == []  # no cancel is necessary: the call is not listed


@pytest.mark.parametrize("method", METHODS)
def test_calls_that_the_same_broker_has_are_not_sent_again(rig: ClientRig, method: str) -> None:
    [link] = rig.links
    pending = rig.submit(method)
    rig.sent(link)
    for _ in range(5):
        rig.disconnect(link)
        rig.client.miss(link, rig.now)
        rig.welcome(link, seen=pending.id)
        assert sent_calls(rig, link) == []
    rig.receive(link, ok(pending.id))
    assert isinstance(pending.outcome, Outcome)
    rig.assert_nothing_is_left()


def test_calls_that_the_same_broker_has_not_seen_are_sent_again(rig: ClientRig) -> None:
    [link] = rig.links
    pendings = [rig.submit("POST", f"/users/{n}") for n in range(4)]
    rig.sent(link)
    rig.disconnect(link)
    rig.welcome(link, seen=2)
    assert sent_calls(rig, link) == [(5, "/users/2"), (6, "/users/3")]
    assert [pending.attempts for pending in pendings] == [1, 1, 1, 1]
    rig.receive(link, *map(ok, (1, 2, 5, 6)))
    assert rig.ended == pendings
    rig.assert_nothing_is_left()


@pytest.mark.parametrize("method", METHODS)
def test_a_lost_response_without_another_broker_is_a_maybe(rig: ClientRig, method: str) -> None:
    [link] = rig.links
    pending = rig.submit(method)
    rig.sent(link)
    rig.disconnect(link)
    rig.welcome(link, seen=1, lost=(1,))
    assert sent_calls(rig, link) == []
    assert rig.ended == [pending]
    assert executed(pending) == "maybe"
    rig.assert_nothing_is_left()


def test_an_idempotent_call_with_a_lost_response_goes_to_another_broker(
    make_client: MakeClient,
) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first)
    get, post = rig.submit("GET"), rig.submit("POST")
    rig.sent(first)
    rig.disconnect(first)
    rig.welcome(second)
    rig.welcome(first, seen=2, lost=(1, 2))
    assert (get.link, rig.ended) == (second, [post])
    assert (sent_calls(rig, first), len(sent_calls(rig, second))) == ([], 1)


@pytest.mark.parametrize("how", ["refused", "another", "version"])
def test_calls_of_a_broker_that_has_ended(rig: ClientRig, how: str) -> None:
    [link] = rig.links
    get, post = rig.submit("GET"), rig.submit("POST")
    rig.sent(link)
    rig.disconnect(link)
    if how == "refused":
        rig.client.bury(link, rig.now)
    elif how == "another":
        rig.welcome(link, broker="another", seen=100)  # it has seen no call of this client
    else:
        rig.connect(link)
        rig.receive(link, Goaway("version"))
    rig.act()
    assert post.ended
    assert executed(post) == "maybe"
    if how == "version":
        assert executed(get) == "no"  # of this attempt; the call is not sent to that broker
    else:
        assert not get.ended
        assert len(sent_calls(rig, link)) == (how == "another")


def test_with_another_broker_ready_only_idempotent_calls_go_there(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first)
    get, post = rig.submit("GET", "/users/1"), rig.submit("POST", "/users/2")
    rig.sent(first)
    rig.welcome(second)
    rig.disconnect(first)
    assert sent_calls(rig, second) == []  # the first one may return immediately
    rig.client.miss(first, rig.now)
    assert (get.link, post.link) == (second, first)
    assert sent_calls(rig, second) == [(3, "/users/1")]
    [hello] = rig.connect(first)
    assert isinstance(hello, Hello)
    assert hello.in_flight == (post.id,)  # the other call is cancelled there
    rig.welcome(first, seen=2)
    assert not post.ended


def test_failover_is_limited_by_credit_and_attempts(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first, credit=10)
    for _ in range(3):
        rig.submit("GET")
    rig.sent(first)
    rig.welcome(second, credit=2)
    rig.disconnect(first)
    rig.client.miss(first, rig.now)
    assert (len(first.in_flight), len(second.in_flight)) == (1, 2)
    assert rig.client.calls.waiting.count == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_deadline_passes_without_a_connection(rig: ClientRig, method: str) -> None:
    [link] = rig.links
    pending = rig.submit(method, deadline=1.5)
    rig.sent(link)
    rig.disconnect(link)
    rig.pass_time(1.5)
    assert executed(pending) == "maybe"
    assert "the connection to one was lost" in str(pending.outcome)
    assert link.outgoing == []
    [hello] = rig.connect(link)
    assert isinstance(hello, Hello)
    assert hello.in_flight == ()


def test_a_call_that_is_cancelled_before_the_hello_is_cancelled_there(rig: ClientRig) -> None:
    [link] = rig.links
    pending = rig.submit("POST")
    rig.sent(link)
    rig.disconnect(link)
    rig.connect(link)
    rig.client.cancel(pending)  # it is listed in the hello
    assert rig.sent(link) == [Cancel(pending.id)]


@pytest.mark.parametrize("reason", ["unknown", "closing"])
def test_a_goodbye_reports_the_calls_that_were_not_read(rig: ClientRig, reason: str) -> None:
    [link] = rig.links
    seen, unseen = rig.submit("POST", "/users/1"), rig.submit("POST", "/users/2")
    rig.sent(link)
    rig.receive(link, Goaway(reason, seen.id))
    assert (link.state is LinkState.CONNECTING) is (reason == "unknown")
    assert (seen.link, unseen.link, rig.ended) == (link, None, [])
    rig.disconnect(link)
    rig.client.bury(link, rig.now)
    rig.act()
    assert rig.ended == [seen]
    assert executed(seen) == "maybe"
    rig.welcome(link, broker="another")
    assert sent_calls(rig, link) == [(3, "/users/2")]


def test_sent_calls_go_before_unsent_ones(rig: ClientRig) -> None:
    [link] = rig.links
    rig.submit("GET", "/users/1")
    rig.submit("GET", "/users/2")
    rig.sent(link)
    rig.disconnect(link)
    rig.submit("GET", "/users/3")
    rig.welcome(link, broker="another")
    assert [target for _, target in sent_calls(rig, link)] == ["/users/1", "/users/2", "/users/3"]


def test_parts_continue_after_a_reconnect(rig: ClientRig) -> None:
    [link] = rig.links
    pending = rig.submit("POST")
    rig.sent(link)
    rig.receive(link, Part(pending.id, 0, b"half "))
    rig.disconnect(link)
    rig.welcome(link, seen=1)
    rig.receive(link, Part(pending.id, 1, b"a loaf "), ok(pending.id))
    assert isinstance(pending.outcome, Outcome)
    assert pending.outcome.body == b"half a loaf ok"


def test_a_busy_broker_keeps_its_calls_and_new_ones_go_to_another(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first, second)
    old = rig.submit("GET")
    rig.sent(first)
    for now in (1.0, 2.0, 3.0, 4.0):
        rig.pass_time(now)
        rig.receive(second, ok(99))
    new = rig.submit("GET")
    assert (old.link, new.link, old.attempts) == (first, second, 1)
    rig.receive(first, ok(old.id))
    assert rig.submit("GET").link is first


def test_if_all_brokers_are_busy_the_last_to_send_gets_the_call(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first, second)
    rig.now = 1.0
    rig.receive(second, ok(99))
    rig.now = 60.0
    assert rig.submit("POST").link is second
