"""The rules of a worker's session, one by one: RFC 7, RFC 18, and those of the native dialect.

A valid command out of place gets a DISCONNECT, and nothing else; whatever a worker sends, the
sessions and calls of others are not affected.
"""

from __future__ import annotations

import pytest

from trizmq.wire.items import (
    VERSION,
    Call,
    Cancel,
    Credit,
    Goaway,
    Hello,
    Part,
    Response,
)
from trizmq.wire.items import Heartbeat as Beat
from trizmq.wire.mdp import Disconnect, Final, Heartbeat, Partial, Ready, Request

DIALECTS = ["mdp01", "mdp02", "majortomo", "packed"]

READY = Ready("users")
TOKEN = b"0123456789abcdef"


def needs_parts(dialect: str) -> None:
    if dialect == "mdp01":
        pytest.skip("RFC 7 has no PARTIAL")


# -- MDP ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_ready_is_the_only_opening_and_has_no_response(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    assert backend.heard(b"w") == []
    assert backend.broker.services["users"].workers == 1
    assert [worker.dialect for worker in backend.broker.workers] == [dialect]
    assert backend.kinds() == [("worker-ready", f"{dialect}-1")]


UNEXPECTED_AT_FIRST = [
    Heartbeat(),
    Final(TOKEN, (b"",)),
    Partial(TOKEN, (b"",)),
    Request(TOKEN, (b"",)),
    Ready("mmi.service"),
    Ready("mmi"),
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("command", UNEXPECTED_AT_FIRST, ids=repr)
def test_an_unexpected_command_before_ready_gets_a_disconnect(backend, dialect, command) -> None:
    if isinstance(command, Partial):
        needs_parts(dialect)
    backend.say(b"w", command, dialect)
    assert backend.heard(b"w") == [Disconnect()]
    assert backend.broker.workers == []
    assert backend.broker.counters.disconnected == 1
    backend.pass_time(10)
    assert backend.heard(b"w") == []


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "command",
    [READY, Ready("orders"), Request(TOKEN, (b"",)), Final(TOKEN, (b"",)), Partial(TOKEN, (b"",))],
    ids=repr,
)
def test_an_unexpected_command_after_ready_ends_the_session(backend, dialect, command) -> None:
    if isinstance(command, Partial):
        needs_parts(dialect)
    backend.say(b"w", READY, dialect)
    backend.say(b"w", command, dialect)
    assert backend.heard(b"w") == [Disconnect()]
    assert backend.broker.services["users"].workers == 0
    backend.call(1)
    backend.pass_time(10)
    assert backend.heard(b"w") == []


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("is_known", [False, True])
def test_disconnect_has_no_response(backend, dialect, is_known) -> None:
    if is_known:
        backend.say(b"w", READY, dialect)
    backend.say(b"w", Disconnect(), dialect)
    backend.say(b"w", Disconnect(), dialect)
    backend.pass_time(10)
    assert backend.heard(b"w") == []
    assert backend.broker.counters.disconnected == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_disconnected_worker_may_start_again(backend, dialect) -> None:
    backend.say(b"w", Heartbeat(), dialect)
    backend.say(b"w", READY, dialect)
    backend.call(1)
    assert backend.heard(b"w") == [Disconnect(), Request(b"broker0100000001", (b"",))]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_goes_out_and_its_reply_comes_back(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    backend.call(1, body=[b"one", b"two"])
    (request,) = backend.heard(b"w")
    assert request.body == (b"one", b"two")
    assert len(request.client) >= 16
    assert request.client.isalnum()
    backend.say(b"w", Final(request.client, (b"reply",)), dialect)
    (response,) = backend.responses()
    assert (response.id, response.status, response.body) == (1, 200, b"reply")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_worker_has_one_call_at_a_time_and_each_has_its_own_token(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    for call_id in range(1, 4):
        backend.call(call_id)
    seen = set()
    for call_id in range(1, 4):
        (token,) = backend.given(b"w")
        seen.add(token)
        backend.say(b"w", Final(token, (b"%d" % call_id,)), dialect)
    assert [r.body for r in backend.responses()] == [b"1", b"2", b"3"]
    assert len(seen) == 3


def test_partials_of_a_call_are_its_parts_in_order(backend) -> None:
    backend.say(b"w", READY)
    backend.call(1)
    (token,) = backend.given(b"w")
    for body in (b"a", b"b"):
        backend.say(b"w", Partial(token, (body,)))
    backend.say(b"w", Final(token, (b"c",)))
    assert backend.items == [
        (b"a", Part(1, 0, b"a")),
        (b"a", Part(1, 1, b"b")),
        (b"a", Response(1, 200, {}, b"c", parts=2)),
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_busy_worker_that_replies_with_a_wrong_token_is_ignored(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    backend.say(b"other", READY, dialect)
    backend.call(1)
    backend.call(2)
    (mine,), (others,) = backend.given(b"w"), backend.given(b"other")
    backend.say(b"w", Final(others, (b"forged",)), dialect)
    backend.say(b"w", Final(TOKEN, (b"forged",)), dialect)
    assert backend.answers() == []
    assert backend.broker.counters.forged == 2
    backend.say(b"w", Final(mine, (b"",)), dialect)
    backend.say(b"other", Final(others, (b"",)), dialect)
    assert backend.answers() == [(1, 200), (2, 200)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_second_reply_is_out_of_place(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    backend.call(1)
    (token,) = backend.given(b"w")
    backend.say(b"w", Final(token, (b"",)), dialect)
    backend.say(b"w", Final(token, (b"",)), dialect)
    assert backend.answers() == [(1, 200)]
    assert backend.heard(b"w") == [Disconnect()]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reply_after_the_deadline_is_late_and_frees_its_worker(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    backend.call(1, ttl=500)
    (token,) = backend.given(b"w")
    backend.tick(0.6)
    assert backend.answers() == [(1, 504)]
    backend.call(2)
    assert backend.given(b"w") == []  # MDP cannot stop it: it is still busy
    backend.say(b"w", Final(token, (b"late",)), dialect)
    assert backend.broker.counters.late == 1
    assert len(backend.given(b"w")) == 1
    assert backend.answers() == []


def test_a_worker_that_changes_its_dialect_is_disconnected_in_its_first(backend) -> None:
    backend.say(b"w", READY, "mdp01")
    port = backend.backend
    port.receive_command(b"w", "mdp02", Heartbeat(), 0.0)
    backend.act()
    assert backend.heard(b"w") == [Disconnect()]
    assert backend.broker.workers == []


def test_a_native_worker_that_sends_mdp_is_disconnected(backend) -> None:
    backend.employ(b"n")
    for command in (Heartbeat(), READY, Final(TOKEN, (b"",))):
        backend.backend.receive_command(b"n", "mdp02", command, 0.0)
        backend.dialects[b"n"] = "mdp02"
        backend.act()
        assert backend.broker.workers == [] or command is READY
    assert backend.heard(b"n")[0] == Goaway("unknown")


def test_an_mdp_worker_that_sends_native_items_is_disconnected(backend) -> None:
    backend.say(b"w", READY)
    backend.work(b"w", Beat())
    assert backend.heard(b"w") == [Disconnect()]
    assert backend.broker.workers == []


# -- liveness ------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_heartbeats_are_sent_every_second_besides_other_commands(backend, dialect) -> None:
    """Some workers accept no other command as a sign of life."""
    backend.say(b"w", READY, dialect)
    for now in (1.0, 2.0, 3.0):
        backend.now = now - 0.1
        backend.say(b"w", Heartbeat(), dialect)
        backend.tick(now)
        assert backend.heard(b"w") == [Heartbeat()]
    backend.call(1)
    backend.tick(4.0)
    [request, beat] = backend.heard(b"w")
    assert (type(request), beat) == (Request, Heartbeat())


def test_a_native_worker_gets_heartbeats_if_nothing_else_is_sent(backend) -> None:
    backend.employ(b"n")
    backend.pass_time(0.9)
    backend.call(1)
    backend.tick(1.0)
    assert len(backend.heard(b"n")) == 1
    backend.tick(2.0)
    assert backend.heard(b"n") == [Beat()]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_worker_may_send_a_heartbeat_every_six_seconds(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    for step in range(1, 11):
        backend.pass_time(6.0 * step)
        backend.say(b"w", Heartbeat(), dialect)
    assert len(backend.broker.workers) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_silence_that_a_worker_may_keep_is_a_setting(make_backend, dialect) -> None:
    backend = make_backend(mdp_silence=30.0)
    backend.say(b"w", READY, dialect)
    backend.pass_time(29.0)
    assert len(backend.broker.workers) == 1
    backend.pass_time(32.0)
    assert backend.broker.workers == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_silent_worker_is_lost(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    backend.pass_time(7.4)  # old workers send one every 2.5 s, and may miss three
    assert len(backend.broker.workers) == 1
    backend.pass_time(9.0)
    assert backend.broker.workers == []
    assert backend.kinds()[-1] == ("worker-lost", f"{dialect}-1")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", [Heartbeat, Final, Partial])
def test_any_command_is_a_sign_of_life(backend, dialect, kind) -> None:
    if kind is Partial:
        needs_parts(dialect)
    backend.say(b"w", READY, dialect)
    for step in range(1, 9):
        backend.pass_time(2.0 * step)
        if kind is Heartbeat:
            backend.say(b"w", Heartbeat(), dialect)
        else:
            if not any(worker.busy for worker in backend.broker.workers):
                backend.call(step)
                (token,) = backend.given(b"w")
            backend.say(b"w", kind(token, (b"",)), dialect)
    assert len(backend.broker.workers) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_worker_without_heartbeats_while_busy_has_more_time(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    backend.call(1, ttl=3_000_000)
    backend.pass_time(59)
    assert len(backend.broker.workers) == 1
    backend.pass_time(62)
    assert backend.broker.workers == []
    assert backend.answers() == [(1, 502)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_heartbeat_may_have_crossed_the_request(backend, dialect) -> None:
    """It was sent before the call arrived, so it shows nothing about heartbeats during calls."""
    backend.say(b"w", READY, dialect)
    for call_id in (1, 2, 3):
        backend.call(call_id)
        backend.say(b"w", Heartbeat(), dialect)
        if call_id < 3:
            backend.say(b"w", Final(backend.given(b"w")[0], (b"",)), dialect)
    backend.pass_time(20)
    assert len(backend.broker.workers) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_worker_with_heartbeats_while_busy_must_keep_sending_them(backend, dialect) -> None:
    backend.say(b"w", READY, dialect)
    backend.call(1)
    for now in (1.0, 2.0, 3.0):
        backend.pass_time(now)
        backend.say(b"w", Heartbeat(), dialect)
    backend.pass_time(12)
    assert backend.broker.workers == []
    assert backend.answers() == [(1, 502)]


def test_silence_while_the_broker_was_suspended_does_not_count(backend) -> None:
    backend.say(b"w", READY)
    backend.employ(b"n")
    backend.tick(100.0)
    assert len(backend.broker.workers) == 2


# -- native --------------------------------------------------------------------------------


def test_the_response_to_hello_is_a_hello(backend) -> None:
    backend.work(b"n", Hello(VERSION, "me", 4, ("users", "orders")))
    assert backend.heard(b"n") == [Hello(VERSION, "broker01", window=16 * 1024 * 1024)]
    assert [worker.capacity for worker in backend.broker.workers] == [4]
    backend.work(b"n", Hello(VERSION, "me", 4, ("users", "orders")))  # before the response came
    assert len(backend.broker.workers) == 1


def test_a_worker_gets_credit_for_large_messages_that_were_read(make_backend) -> None:
    backend = make_backend(worker_bytes=1_600_000)
    backend.employ(b"n", capacity=10)
    for call_id in range(4):
        backend.call(call_id)
    tokens = backend.given(b"n")
    for token in tokens:
        backend.backend.receive(b"n", [Response(token, 200, {}, b"")], 0.0, 60_000)
        backend.act()
    assert backend.heard(b"n") == [Credit(0, 120_000), Credit(0, 120_000)]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (Hello(VERSION + 1, "me", 1, ("users",)), "version"),
        (Hello(VERSION, "me", 1), "backend"),
        (Hello(VERSION, "me", 1, ("users", "mmi.x")), "services"),
        (Hello(VERSION, "me", 1, ("",)), "services"),
        (Hello(VERSION, "me", 1, ("a/b",)), "services"),
        (Hello(VERSION, "me", 1, ("a" * 65,)), "services"),
        (Beat(), "unknown"),
        (Response(1, 200, {}, b""), "unknown"),
        (Call(1, 1, "GET", "/", {}, b""), "unknown"),
        (Goaway("closing"), "unknown"),
    ],
    ids=repr,
)
def test_a_refused_worker_is_notified_of_the_reason(backend, item, reason) -> None:
    backend.work(b"n", item)
    assert backend.heard(b"n") == [Goaway(reason)]
    assert backend.broker.workers == []
    assert "users" not in backend.broker.services


@pytest.mark.parametrize("limits", [{"workers": 1}, {"services": 1}])
def test_workers_or_services_over_the_limit_are_refused(make_backend, limits) -> None:
    backend = make_backend(**limits)
    backend.employ(b"n")
    backend.work(b"m", Hello(VERSION, "m", 1, ("orders",)))
    backend.say(b"w", Ready("more"))
    assert backend.heard(b"m") == [Goaway("full")]
    assert backend.heard(b"w") == [Disconnect()]
    assert len(backend.broker.workers) == 1


def test_a_silent_native_worker_is_lost_after_three_heartbeats(backend) -> None:
    backend.employ(b"n")
    backend.pass_time(2.9)
    assert backend.heard(b"n") == [Beat(), Beat()]
    backend.pass_time(4.0)
    assert backend.broker.workers == []
    backend.work(b"n", Beat())
    assert backend.heard(b"n")[-1] == Goaway("unknown")


@pytest.mark.parametrize("item", [Cancel(1), Call(1, 1, "GET", "/users", {}, b"")], ids=repr)
def test_items_that_a_worker_must_not_send_are_counted(backend, item) -> None:
    backend.employ(b"n")
    backend.work(b"n", item, Credit(0, 1), Beat())
    assert backend.broker.counters.unexpected == 1
    assert len(backend.broker.workers) == 1


def test_native_responses_and_parts_count_only_for_their_own_calls(backend) -> None:
    backend.employ(b"n")
    backend.employ(b"m")
    backend.call(1)
    backend.call(2)
    (mine,), (others,) = backend.given(b"n"), backend.given(b"m")
    backend.work(b"n", Response(others, 200, {}, b"forged"), Part(others, 0, b""), Part(77, 0, b""))
    assert backend.items == []
    assert backend.broker.counters.forged == 3
    backend.work(b"n", Response(mine, 201, {"a": "b"}, b""))
    assert backend.items == [(b"a", Response(1, 201, {"a": "b"}, b""))]


def test_an_invalid_status_from_a_worker_is_a_502(backend, read_problem) -> None:
    backend.employ(b"n", capacity=9)
    for call_id, status in enumerate((0, 99, 600, -1), 1):
        backend.call(call_id)
        backend.work(b"n", Response(backend.given(b"n")[0], status, {}, b""))
        (response,) = backend.responses()
        assert response.status == 502
        assert read_problem(response)["executed"] == "maybe"


def test_a_cancelled_call_keeps_its_slot_until_the_worker_has_stopped(backend) -> None:
    backend.employ(b"n")
    backend.call(1)
    backend.call(2)
    (token,) = backend.given(b"n")
    backend.receive(Cancel(1))
    assert backend.heard(b"n") == [Cancel(token)]
    backend.work(b"n", Response(token, 504, {}, b"", stopped=True))
    assert len(backend.given(b"n")) == 1
    assert backend.broker.counters.late == 0


def test_a_draining_worker_gets_no_new_calls_and_may_finish(backend) -> None:
    backend.employ(b"n", capacity=2)
    backend.call(1)
    (token,) = backend.given(b"n")
    backend.work(b"n", Goaway("draining"))
    backend.call(2)
    assert backend.given(b"n") == []
    backend.work(b"n", Response(token, 200, {}, b""), Goaway("closing"))
    assert backend.answers() == [(1, 200)]
    assert backend.kinds()[-1] == ("worker-left", "n")
    backend.employ(b"m")
    assert backend.broker.services["users"].queue.count == 0


# -- the end -------------------------------------------------------------------------------


def test_the_broker_disconnects_every_worker_once(backend) -> None:
    backend.say(b"w", READY)
    backend.employ(b"n")
    backend.backend.say_goodbye(0.0)
    backend.backend.say_goodbye(0.0)
    backend.act()
    assert backend.heard(b"w") == [Disconnect()]
    assert backend.heard(b"n") == [Goaway("closing")]


def test_the_end_of_a_named_process_ends_its_sessions(backend) -> None:
    backend.employ(b"n")
    backend.employ(b"m")
    backend.call(1, method="GET")
    backend.broker.lose_named("n", "killed", 0.0)
    backend.act()
    assert [worker.name for worker in backend.broker.workers] == ["m"]
    assert len(backend.given(b"m")) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Tenant": "é"}, 200),
        ({"a\nb": "c"}, 502),
        ({"a": "b\r\nset-cookie: c"}, 502),
        ({"a b": "c"}, 502),
    ],
)
def test_invalid_headers_from_a_native_worker_are_a_502(backend, headers, status) -> None:
    backend.employ(b"n")
    backend.call(1)
    (token,) = backend.given(b"n")
    backend.work(b"n", Response(token, 200, headers, b""))
    [response] = backend.responses()
    assert response.status == status
    if status == 200:
        assert response.headers == {"x-tenant": "é"}


# -- unreadable messages and refused workers -------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stranger_that_cannot_be_read_is_disconnected(backend, dialect) -> None:
    backend.refuse(b"w", "no such command", dialect)
    assert backend.heard(b"w") == [Disconnect()]
    assert backend.kinds() == [("worker-refused", dialect)]
    assert backend.broker.counters.malformed == 1


def test_noise_from_a_stranger_is_dropped(backend) -> None:
    backend.refuse(b"w", "noise", None)
    assert backend.told == []
    assert backend.broker.counters.malformed == 1


def test_an_unreadable_batch_ends_a_native_session_and_its_calls_go_on(backend) -> None:
    backend.employ(b"n", capacity=2)
    backend.call(1, method="GET")
    backend.call(2)
    backend.given(b"n")
    backend.refuse(b"n", "not a native batch", None)
    assert backend.heard(b"n") == [Goaway("unknown")]
    assert backend.answers() == [(2, 502)]
    backend.employ(b"m")
    assert len(backend.given(b"m")) == 1


def test_workers_that_return_immediately_are_slowed_down(backend) -> None:
    for number in range(30):
        backend.say(b"%d" % number, Ready("mmi.x"))
    assert len(backend.told) == 10
    backend.pass_time(1.0)
    assert len(backend.told) == 30
    assert backend.kinds() == [("worker-refused", "mdp02")]  # the same reason is reported once
    backend.say(b"w", Ready("mmi.x"))
    assert len(backend.told) == 31
    backend.pass_time(11.0)
    backend.say(b"w", Ready("mmi.x"))
    assert backend.kinds() == [("worker-refused", "mdp02")]


def test_ever_new_invalid_messages_fill_neither_memory_nor_log(backend) -> None:
    for number in range(5000):
        backend.refuse(b"%d" % number, f"reason {number}", "mdp01")
    assert len(backend.kinds()) == 100
    backend.pass_time(30.0)
    assert len(backend.told) == 10 + 1024
    assert backend.broker.refused_workers.next_tick == float("inf")


def test_the_name_of_a_peer_cannot_end_a_log_line(backend) -> None:
    backend.work(b"n", Hello(VERSION, "n\nERROR all is lost", 1, ("users",)))
    assert [worker.name for worker in backend.broker.workers] == ["n?ERROR all is lost"]
    backend.receive(Hello(VERSION, "c\nERROR"), address=b"c")
    backend.call(1, "/nobody", address=b"c", ttl=0)
    [response] = backend.responses(b"c")
    assert b'"request_id":"c?ERROR-1"' in response.body


def test_one_stray_partial_after_a_final_is_ignored(backend) -> None:
    """nodejs-mdp02 repeats the end of a reply, for a client called ``undefined``."""
    backend.say(b"w", READY)
    for number in range(1, 4):
        backend.call(number)
        (token,) = backend.given(b"w")
        backend.say(b"w", Final(token, (b"x",)))
        backend.say(b"w", Partial(b"undefined", (b"x",)))
    assert [status for _, status in backend.answers()] == [200] * 3
    assert backend.heard(b"w") == []
    backend.say(b"w", Partial(b"undefined", (b"x",)))
    assert backend.heard(b"w") == [Disconnect()]
