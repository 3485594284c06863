"""A call's way through the client: its link, its wait, its end, and when it is sent again."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import pytest

from trizmq.client.links import MAX_WAITING, MAX_WAITING_BYTES, Pending
from trizmq.errors import DeadlineExceeded, LocalProtocolError, Overloaded, Unreachable
from trizmq.messages import Response as Outcome
from trizmq.retries import RetryBudget
from trizmq.wire.items import Call, Cancel, Goaway, Heartbeat, Item, Response
from trizmq.wire.native import LARGE

if TYPE_CHECKING:
    from tests.client.conftest import ClientRig, MakeClient
    from trizmq.client.links import Link


@pytest.fixture
def rig(make_client: MakeClient) -> ClientRig:
    """A client with one link that is ready and accepts ten calls."""
    rig = make_client()
    rig.welcome(*rig.links)
    return rig


def calls(rig: ClientRig, link: Link) -> list[int]:
    """Take what the client sends on ``link``; return the ids of the calls."""
    return [item.id for item in rig.sent(link) if isinstance(item, Call)]


def ok(pending: Pending) -> Response:
    return Response(pending.id, 200, {}, b"")


def executed(pending: Pending) -> str:
    assert isinstance(pending.outcome, Unreachable | DeadlineExceeded)
    return pending.outcome.executed


def test_a_call_and_its_response(rig: ClientRig) -> None:
    [link] = rig.links
    rig.now = 1.0
    pending = rig.submit("PUT", "/users/1?x", headers={"a": "b"}, body=b"1", deadline=2.5)
    assert rig.sent(link) == [Call(pending.id, 1500, "PUT", "/users/1?x", {"a": "b"}, b"1")]
    assert rig.client.links.in_flight == 1
    rig.receive(link, Response(pending.id, 404, {"x-y": "z"}, [b"a", b"b"]))
    assert rig.ended == [pending]
    assert pending.outcome == Outcome(404, body=b"ab", headers=pending.outcome.headers)  # type: ignore[union-attr]  # an outcome it is
    assert pending.outcome.headers["X-Y"] == "z"
    rig.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("left", "ttl"),
    [(0.0101, 11), (0.0001, 1), (0.0, 0), (-5.0, 0), (float("-inf"), 0), (3600.0, 3_600_000)],
)
def test_the_remaining_time_is_rounded_up(rig: ClientRig, left: float, ttl: int) -> None:
    rig.submit(deadline=left, is_timed=False)
    [item] = rig.sent(rig.links[0])
    assert isinstance(item, Call)
    assert item.ttl == ttl


def test_calls_wait_for_the_hello_and_keep_their_order(make_client: MakeClient) -> None:
    rig = make_client()
    [link] = rig.links
    pendings = [rig.submit() for _ in range(5)]
    assert (rig.sent(link), rig.client.calls.waiting.count) == ([], 5)
    rig.welcome(link, credit=3)
    assert (calls(rig, link), rig.client.calls.waiting.count) == ([1, 2, 3], 2)
    late = rig.submit()
    rig.receive(link, ok(pendings[1]))
    assert calls(rig, link) == [4]
    rig.receive(link, ok(pendings[0]), ok(pendings[2]))
    assert calls(rig, link) == [5, 6]
    assert [one.id for one in [*pendings, late]] == [1, 2, 3, 4, 5, 6]


def test_without_credit_no_call_is_sent(make_client: MakeClient) -> None:
    rig = make_client()
    rig.welcome(*rig.links, credit=0)
    rig.submit()
    assert (calls(rig, rig.links[0]), rig.client.calls.waiting.count) == ([], 1)


BODY = bytes(100_000)


def test_large_calls_wait_until_the_broker_has_read_those_before(
    make_client: MakeClient,
) -> None:
    rig = make_client()
    [link] = rig.links
    rig.welcome(link, window=250_000)
    for _ in range(6):
        rig.submit(body=BODY)
    assert (calls(rig, link), rig.client.calls.waiting.count) == ([1, 2, 3], 3)
    rig.submit()  # a small call behind them keeps its turn
    rig.receive(link, Heartbeat(1))
    assert calls(rig, link) == [4]
    rig.receive(link, Heartbeat(1))
    assert calls(rig, link) == []
    rig.receive(link, Heartbeat(4))
    assert calls(rig, link) == [5, 6, 7]
    rig.receive(link, *[ok(one) for one in link.in_flight.values()], Heartbeat(7))
    assert (link.on_their_way, len(link.large), rig.client.calls.waiting.count) == (0, 0, 0)


def test_small_calls_are_not_bounded_by_the_window(make_client: MakeClient) -> None:
    rig = make_client()
    [link] = rig.links
    rig.welcome(link, window=1)
    for _ in range(10):
        rig.submit(body=bytes(LARGE))
    assert (len(calls(rig, link)), rig.client.calls.waiting.count) == (10, 0)


def test_without_a_window_every_call_is_sent(make_client: MakeClient) -> None:
    rig = make_client()
    [link] = rig.links
    rig.welcome(link)
    for _ in range(10):
        rig.submit(body=bytes(16 * 1024 * 1024))
    assert rig.client.calls.waiting.count == 0


def test_a_cancelled_call_still_counts_for_the_window(make_client: MakeClient) -> None:
    rig = make_client()
    [link] = rig.links
    rig.welcome(link, window=100_000)
    rig.client.cancel(rig.submit(body=BODY))
    rig.submit(body=BODY)
    assert rig.client.calls.waiting.count == 1
    rig.receive(link, Heartbeat(1))
    assert rig.client.calls.waiting.count == 0


def test_the_end_of_a_connection_empties_the_window(
    make_client: MakeClient,
) -> None:
    rig = make_client()
    [link] = rig.links
    rig.welcome(link, window=100_000)
    pendings = [rig.submit("GET", body=BODY) for _ in range(3)]
    assert calls(rig, link) == [1]
    rig.disconnect(link)
    rig.welcome(link, broker="another", window=100_000)
    assert (calls(rig, link), rig.client.calls.waiting.count) == ([2], 2)
    for seen in (2, 3, 4):
        rig.receive(link, ok(pendings[seen - 2]), Heartbeat(seen))
    assert [pending.ended for pending in pendings] == [True] * 3
    rig.assert_nothing_is_left()


def test_an_unencodable_call_does_not_count_for_the_window(make_client: MakeClient) -> None:
    rig = make_client()
    [link] = rig.links
    rig.welcome(link, window=100_000)
    rig.submit(body=BODY)
    rig.client.calls.discard_first(link, LocalProtocolError("no"))
    assert rig.submit(body=BODY).link is link


def test_more_calls_may_wait_for_the_window_than_for_a_connection(make_client: MakeClient) -> None:
    rig = make_client()
    [link] = rig.links
    rig.welcome(link, credit=1000, window=1)
    body = bytes(16 * 1024 * 1024)
    for _ in range(10):
        rig.submit(body=body)
    assert rig.client.calls.waiting.count == 9
    rig.disconnect(link)
    with pytest.raises(Overloaded):
        rig.submit()


def test_a_late_response_is_dropped_and_counted(rig: ClientRig) -> None:
    [link] = rig.links
    pending = rig.submit()
    rig.client.cancel(pending)
    rig.receive(link, ok(pending))
    rig.receive(link, Response(12345, 200, {}, b""))
    assert (rig.client.calls.late, rig.ended) == (2, [])


def test_the_first_ready_link_is_preferred(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(second)
    rig.submit()
    assert len(second.in_flight) == 1
    rig.welcome(first)
    rig.submit()
    assert (len(first.in_flight), len(second.in_flight)) == (1, 1)


@pytest.mark.parametrize("trouble", ["full", "draining", "lost"])
def test_the_second_link_gets_calls_if_the_first_cannot(
    make_client: MakeClient, trouble: str
) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first, second, credit=1)
    if trouble == "full":
        rig.submit()
    elif trouble == "draining":
        rig.receive(first, Goaway("draining"))
    else:
        rig.lose(first)
    pending = rig.submit()
    assert pending.link is second


def test_running_calls_at_a_draining_broker_get_their_responses(rig: ClientRig) -> None:
    [link] = rig.links
    running = rig.submit()
    rig.receive(link, Goaway("draining"))
    waiting = rig.submit()
    assert waiting.link is None
    rig.receive(link, ok(running))
    assert rig.ended == [running]
    assert waiting.link is None


@pytest.mark.parametrize("goaway_first", [True, False])
def test_a_rejected_call_waits_again(make_client: MakeClient, goaway_first: bool):
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first)
    pending = rig.submit("POST")
    if goaway_first:
        rig.receive(first, Goaway("draining"))
    rig.receive(first, Response(pending.id, 503, {}, b"", taken=False))
    assert (pending.ended, pending.link, pending.attempts) == (False, None, 0)
    rig.tick(0.1)
    assert pending.link is None  # not to the same broker, although its goaway has not arrived yet
    rig.welcome(second)
    assert pending.link is second


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_503_that_a_handler_passes_on_is_a_response(rig: ClientRig, method: str) -> None:
    # Its body is that of a nested call's 503. Only `taken` says that this call may go again.
    [link] = rig.links
    pending = rig.submit(method)
    rig.receive(link, Goaway("draining"))
    rig.receive(link, Response(pending.id, 503, {}, b'{"status":503,"executed":"no"}'))
    assert rig.ended == [pending]
    assert isinstance(pending.outcome, Outcome)
    assert pending.outcome.status == 503


# -- slots that become free ------------------------------------------------------------


def full_with_one_waiting(rig: ClientRig) -> tuple[Pending, Pending]:
    [link] = rig.links
    rig.welcome(link, credit=1)
    running, waiting = rig.submit(deadline=0.5), rig.submit()
    assert calls(rig, link) == [running.id]
    return running, waiting


def test_a_cancelled_call_frees_its_slot_immediately(rig: ClientRig) -> None:
    running, waiting = full_with_one_waiting(rig)
    rig.client.cancel(running)
    assert rig.client.next_tick <= rig.now  # a tick is due now
    rig.tick(rig.now)
    assert waiting.link is rig.links[0]
    assert rig.client.next_tick > rig.now
    assert [type(item) for item in rig.sent(rig.links[0])] == [Cancel, Call]


def test_a_call_whose_deadline_has_passed_frees_its_slot_immediately(rig: ClientRig) -> None:
    running, waiting = full_with_one_waiting(rig)
    rig.tick(0.5)
    assert running.ended
    assert waiting.link is rig.links[0]


@pytest.mark.parametrize("how", ["unknown", "garbage"])
def test_calls_of_a_lost_broker_go_to_another_at_once(make_client: MakeClient, how: str) -> None:
    rig = make_client("a", "b")
    first, second = rig.links
    rig.welcome(first, second)
    pending = rig.submit("GET")
    if how == "unknown":
        rig.receive(first, Goaway("unknown"))
    else:
        rig.lose(first)
    rig.pass_time(0.0)
    assert pending.link is second
    assert calls(rig, second) == [pending.id]


# -- loss ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_plain_call_ends_with_its_broker(rig: ClientRig, method: str) -> None:
    pending = rig.submit(method)
    rig.restart(rig.links[0])
    assert rig.ended == [pending]
    assert isinstance(pending.outcome, Unreachable)
    assert executed(pending) == "maybe"
    assert "the connection to one was lost" in str(pending.outcome)
    rig.assert_nothing_is_left()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST"])
def test_an_idempotent_call_is_sent_three_times_at_most(rig: ClientRig, method: str) -> None:
    [link] = rig.links
    headers = {"idempotency-key": "k"} if method == "POST" else {}
    pending = rig.submit(method, headers=headers)
    for _ in range(2):
        assert calls(rig, link) == [pending.id]
        rig.restart(link)
        assert not pending.ended
    assert calls(rig, link) == [pending.id]
    rig.restart(link)
    assert rig.ended == [pending]
    assert executed(pending) == "maybe"
    rig.assert_nothing_is_left()


def test_losing_a_broker_does_not_affect_a_waiting_call(make_client: MakeClient) -> None:
    rig = make_client()
    [link] = rig.links
    pending = rig.submit("POST")
    for _ in range(5):
        rig.lose(link)
    rig.welcome(link)
    assert pending.attempts == 1
    rig.receive(link, ok(pending))
    assert rig.ended == [pending]


def test_retries_are_limited_by_a_budget(rig: ClientRig) -> None:
    [link] = rig.links
    survived = 0
    for _ in range(6):
        pending = rig.submit("GET")
        rig.restart(link)
        survived += not pending.ended
        rig.client.cancel(pending)
    assert survived == 4  # 9, 8, 7, 6 tokens; at 5 and below no call is tried again
    rig.assert_nothing_is_left()


def test_losing_a_broker_without_calls_costs_nothing(rig: ClientRig) -> None:
    [link] = rig.links
    for _ in range(20):
        rig.restart(link)
    pending = rig.submit("GET")
    rig.restart(link)
    assert not pending.ended


def test_the_budget_fills_again() -> None:
    budget = RetryBudget()
    assert [budget.fail() for _ in range(12)] == [True] * 4 + [False] * 8
    for _ in range(61):
        budget.succeed()
    assert budget.fail()
    assert not budget.fail()
    for _ in range(1000):
        budget.succeed()
    assert [budget.fail() for _ in range(5)] == [True] * 4 + [False]  # never above the maximum


# -- the end ---------------------------------------------------------------------------


def test_without_a_broker_by_the_deadline_a_call_is_unreachable(make_client: MakeClient) -> None:
    rig = make_client("a", "b")
    pending = rig.submit(deadline=2.25)
    rig.pass_time(2.2)
    assert rig.ended == []
    rig.pass_time(2.25)
    assert rig.ended == [pending]
    assert isinstance(pending.outcome, Unreachable)
    assert str(pending.outcome) == "no response from a, b"
    assert executed(pending) == "no"
    rig.assert_nothing_is_left()


def test_without_credit_by_the_deadline_a_call_ends(make_client: MakeClient) -> None:
    rig = make_client()
    rig.welcome(*rig.links, credit=0)
    pending = rig.submit(deadline=0.5)
    rig.tick(0.5)
    assert isinstance(pending.outcome, DeadlineExceeded)
    assert executed(pending) == "no"
    assert Cancel(pending.id) not in rig.sent(rig.links[0])


@pytest.mark.parametrize("is_given_up", [False, True])
def test_the_waiter_of_an_ended_call_is_released(rig: ClientRig, *, is_given_up: bool) -> None:
    class Waiter:
        def __call__(self) -> None:
            told.append("once")

    told: list[str] = []
    pending, waiter = rig.submit(), Waiter()
    pending.waiter, gone = waiter, weakref.ref(waiter)
    if is_given_up:
        rig.client.cancel(pending)
    else:
        rig.receive(rig.links[0], Response(pending.id, 200, {}, b""))
        pending.tell()
    del waiter
    assert gone() is None
    assert told == ([] if is_given_up else ["once"])


@pytest.mark.parametrize(("now", "raises"), [(0.4, False), (0.5, True)])
def test_the_504_of_a_broker_is_a_deadline(rig: ClientRig, now: float, *, raises: bool) -> None:
    pending = rig.submit(deadline=0.5)
    rig.now = now
    rig.receive(rig.links[0], Response(pending.id, 504, {}, b""))
    assert isinstance(pending.outcome, DeadlineExceeded if raises else Outcome)
    rig.assert_nothing_is_left()


def test_without_a_response_by_the_deadline_a_call_ends(rig: ClientRig) -> None:
    [link] = rig.links
    pending = rig.submit(deadline=0.5)
    rig.sent(link)
    rig.tick(0.5)
    assert isinstance(pending.outcome, DeadlineExceeded)
    assert executed(pending) == "maybe"
    assert rig.sent(link) == [Cancel(pending.id)]
    rig.receive(link, ok(pending))
    assert (rig.client.calls.late, rig.ended) == (1, [pending])


def test_a_lost_call_that_is_not_sent_again_ends_at_its_deadline(rig: ClientRig) -> None:
    [link] = rig.links
    pending = rig.submit("GET", deadline=0.5)
    rig.sent(link)
    rig.disconnect(link)
    rig.client.bury(link, rig.now)
    rig.tick(0.5)
    assert isinstance(pending.outcome, DeadlineExceeded)
    assert executed(pending) == "maybe"
    rig.assert_nothing_is_left()


def test_a_deadline_that_is_the_callers_own_is_left_to_it(rig: ClientRig) -> None:
    pending = rig.submit(deadline=0.5, is_timed=False)
    rig.pass_time(2.0)
    assert not pending.ended
    rig.client.cancel(pending)
    rig.assert_nothing_is_left()


@pytest.mark.parametrize("is_timed", [True, False])
def test_cancelling_an_unsent_call_sends_nothing(
    make_client: MakeClient, *, is_timed: bool
) -> None:
    rig = make_client()
    pending = rig.submit(is_timed=is_timed)
    rig.client.cancel(pending)
    rig.client.cancel(pending)
    rig.welcome(*rig.links)
    assert rig.sent(rig.links[0]) == []
    assert rig.ended == []
    rig.assert_nothing_is_left()


def test_cancelling_a_sent_call_notifies_the_broker_once(rig: ClientRig) -> None:
    [link] = rig.links
    pending = rig.submit()
    rig.sent(link)
    rig.client.cancel(pending)
    rig.client.cancel(pending)
    assert rig.sent(link) == [Cancel(pending.id)]
    assert (pending.ended, pending.outcome, rig.ended) == (True, None, [])
    rig.assert_nothing_is_left()


def test_calls_over_the_bound_are_refused(make_client: MakeClient) -> None:
    assert MAX_WAITING == 10_000
    rig = make_client()
    first, *_ = [rig.submit() for _ in range(MAX_WAITING)]
    with pytest.raises(Overloaded) as caught:
        rig.submit()
    assert caught.value.executed == "no"
    rig.client.cancel(first)
    rig.submit()
    assert rig.client.calls.waiting.count == MAX_WAITING


def test_bytes_over_the_bound_are_refused(make_client: MakeClient) -> None:
    rig = make_client()
    rig.submit(body=bytes(MAX_WAITING_BYTES))
    large = rig.submit(body=b"x")  # a single call may exceed the bound, but not a second one
    with pytest.raises(Overloaded):
        rig.submit()
    rig.client.cancel(large)
    rig.submit()


def test_close_ends_every_call(rig: ClientRig) -> None:
    [link] = rig.links
    rig.welcome(link, credit=1)
    sent, waiting = rig.submit("GET"), rig.submit("GET")
    rig.client.close()
    rig.act()
    assert rig.ended == [sent, waiting]
    assert [executed(pending) for pending in rig.ended] == ["maybe", "no"]
    rig.assert_nothing_is_left()


@pytest.mark.parametrize("item", [Heartbeat(), Goaway("draining"), Goaway("unknown")])
def test_items_from_a_broker_end_no_waiting_call(make_client: MakeClient, item: Item) -> None:
    rig = make_client()
    pending = rig.submit()
    rig.receive(rig.links[0], item)
    assert (rig.client.calls.waiting.count, pending.ended) == (1, False)


@pytest.mark.parametrize("is_timed", [True, False])
def test_cancelling_a_call_that_was_refused_changes_nothing(
    make_client: MakeClient, is_timed: bool
) -> None:
    rig = make_client()
    pending = Pending("GET", "/users", {}, b"", 5.0, is_timed, lambda: None)
    rig.client.cancel(pending)
    rig.assert_nothing_is_left()
