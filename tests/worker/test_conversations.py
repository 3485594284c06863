"""A worker's side of a conversation: it opens, receives calls, reports their ends, starts again.

Whatever a broker sends, a conversation never raises an exception; and every call that it receives
frees its slot at the broker, whether it was answered, cancelled or too late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq import messages
from trizmq.wire import native
from trizmq.wire.items import VERSION, Call, Cancel, Credit, Goaway, Hello, Part, Response
from trizmq.wire.items import Heartbeat as Beat
from trizmq.wire.mdp import MDP, Disconnect, Final, Heartbeat, Partial, Ready, Request
from trizmq.worker.mdp import MDPConversation
from trizmq.worker.native import NativeConversation

if TYPE_CHECKING:
    from trizmq.worker.conversation import Job

OK = messages.Response(200, body=b'"ok"')
HELLO = Hello(VERSION, "me", 4, ("users",))
DIALECTS = ["mdp01", "mdp02", "majortomo", "packed"]


class Talk:
    """A conversation, with everything that it has sent and started so far."""

    def __init__(self, dialect: str) -> None:
        self.codec = MDP.get(dialect)
        self.talk: Any = (
            NativeConversation(HELLO, 0.0)
            if self.codec is None
            else MDPConversation(self.codec, "users", 0.0)
        )
        self.now = 0.0
        self.said: list[Any] = []
        self.jobs: list[Job] = []
        self.stopped: list[Job] = []
        self.reopened = 0
        self.connect()

    def connect(self) -> None:
        """Connect, as the driver does after the end of the previous connection."""
        self.talk.connect(self.now)
        self.act()

    def disconnect(self) -> None:
        self.talk.disconnect()
        self.act()

    def act(self) -> None:
        outbox = self.talk.take_outbox()
        for frames in outbox.messages:
            self.said += [self.codec.decode_worker(frames)] if self.codec else native.decode(frames)
        self.jobs += outbox.started
        self.stopped += outbox.stopped
        self.reopened += outbox.reopen

    def hear(self, *said: Any) -> None:
        if self.codec is None:
            self.talk.receive(native.encode(said), self.now)
        else:
            for command in said:
                self.talk.receive(self.codec.encode_worker(command), self.now)
        self.act()

    def finish(self, job: Job, response: messages.Response | None = OK) -> None:
        self.talk.finish(job, response)
        self.act()

    def take(self) -> list[Any]:
        said, self.said = self.said, []
        return said

    def pass_time(self, until: float) -> None:
        while self.talk.next_tick <= until:
            self.now = max(self.now, self.talk.next_tick)
            self.talk.tick(self.now)
            self.act()
        self.now = until


@pytest.fixture
def talk() -> Talk:
    """A native conversation that has received the broker's hello."""
    talk = Talk("native")
    talk.hear(Hello(VERSION, "broker"))
    talk.take()
    return talk


@pytest.fixture(params=DIALECTS)
def mdp(request) -> Talk:
    """A conversation in a dialect of MDP that has sent READY."""
    talk = Talk(request.param)
    assert talk.take() == [Ready("users")]
    return talk


def call(call_id: int, ttl: int = 30_000) -> Call:
    return Call(call_id, ttl, "GET", "/users", {}, b"")


# -- native --------------------------------------------------------------------------------


def test_a_call_is_started_and_its_response_sent(talk) -> None:
    talk.hear(call(7))
    (job,) = talk.jobs
    assert job.deadline == 30.0
    talk.finish(job)
    assert talk.take() == [Response(7, 200, {}, b'"ok"')]


def test_parts_are_numbered(talk) -> None:
    talk.hear(call(7))
    for body in (b"a", b"b"):
        talk.talk.part(talk.jobs[0], body)
    talk.finish(talk.jobs[0])
    assert talk.take() == [Part(7, 0, b"a"), Part(7, 1, b"b"), Response(7, 200, {}, b'"ok"')]


@pytest.mark.parametrize("response", [None, OK])
def test_a_cancelled_call_frees_its_slot_when_it_has_stopped(talk, response) -> None:
    talk.hear(call(7))
    talk.hear(Cancel(7), Cancel(7), Cancel(8))
    assert talk.stopped == talk.jobs
    assert talk.take() == []
    talk.talk.part(talk.jobs[0], b"late")
    talk.finish(talk.jobs[0], response)
    assert talk.take() == [Response(7, 504, {}, b"", stopped=True)]


def test_a_call_whose_deadline_has_passed_frees_its_slot_too(talk) -> None:
    talk.hear(call(7, ttl=500))
    talk.pass_time(0.5)
    assert talk.stopped == talk.jobs
    talk.finish(talk.jobs[0], None)
    assert talk.take() == [Response(7, 504, {}, b"", stopped=True)]


def test_jobs_of_a_previous_broker_do_not_affect_the_next(talk) -> None:
    talk.hear(call(7))
    talk.hear(Goaway("unknown"))
    assert talk.stopped == talk.jobs
    assert talk.take() == []
    assert talk.reopened == 1
    talk.connect()
    assert talk.take() == [HELLO]
    talk.hear(Hello(VERSION, "other"), call(7))
    talk.finish(talk.jobs[0], None)
    assert talk.take() == []
    talk.finish(talk.jobs[1])
    assert talk.take() == [Response(7, 200, {}, b'"ok"')]


def test_messages_from_a_closing_socket_are_ignored(talk) -> None:
    talk.talk.receive(native.encode([Goaway("closing")]), 0.0)
    talk.talk.receive(native.encode([call(7)]), 0.0)
    talk.act()
    assert talk.jobs == []


def test_a_call_is_started_once(talk) -> None:
    talk.hear(call(7), call(7))
    assert len(talk.jobs) == 1


@pytest.mark.parametrize("call_id", [-(2**63), -1, 0, 2**63 - 1, 2**64 - 1])
def test_ids_are_chosen_by_the_broker(talk, call_id) -> None:
    talk.hear(call(call_id))
    talk.hear(Cancel(call_id))
    talk.finish(talk.jobs[0], None)
    assert talk.take() == [Response(call_id, 504, {}, b"", stopped=True)]


def test_a_native_broker_that_is_silent_is_busy_and_not_lost(talk) -> None:
    talk.hear(call(7))
    talk.pass_time(60.0)
    assert talk.take() == [Beat()] * 60
    assert (talk.reopened, talk.stopped) == (0, talk.jobs)  # its deadline has passed


def test_the_end_of_the_connection_stops_all_jobs(talk) -> None:
    talk.hear(call(7), call(8))
    talk.finish(talk.jobs[1])  # not sent in time
    talk.talk.disconnect()
    talk.act()
    assert talk.stopped == [talk.jobs[0]]
    assert not talk.talk.is_ready
    talk.take()
    talk.pass_time(10.0)
    talk.finish(talk.jobs[0], None)
    assert talk.take() == []  # nothing is sent without a connection
    talk.connect()
    assert talk.take() == [HELLO]


def test_draining_without_a_connection_is_immediate(talk) -> None:
    talk.disconnect()
    talk.talk.drain()
    talk.act()
    assert talk.talk.is_drained
    talk.connect()
    assert talk.take() == []


def test_time_without_ticks_is_not_the_brokers_silence(talk) -> None:
    talk.talk.tick(60.0)
    talk.act()
    assert talk.reopened == 0


def test_each_connection_has_one_hello() -> None:
    talk = Talk("native")
    assert talk.take() == [HELLO]
    talk.pass_time(10.0)
    assert talk.take() == []


def test_draining_waits_for_the_brokers_goaway_and_for_all_jobs(talk) -> None:
    talk.hear(call(7))
    talk.talk.drain()
    talk.hear(call(8), Goaway("draining"))
    assert talk.take() == [Goaway("draining")]
    for job in talk.jobs:
        assert not talk.talk.is_drained
        talk.finish(job)
    assert talk.take()[-1] == Goaway("closing")
    assert talk.talk.is_drained


def test_a_call_that_was_cancelled_while_draining_is_waited_for(talk) -> None:
    talk.hear(call(7))
    talk.talk.drain()
    talk.hear(Goaway("draining"), Cancel(7))
    assert not talk.talk.is_drained
    talk.finish(talk.jobs[0], None)
    stopped = Response(7, 504, {}, b"", stopped=True)
    assert talk.take() == [Goaway("draining"), stopped, Goaway("closing")]


# -- MDP -----------------------------------------------------------------------------------

REQUEST = Request(b"client", (b"x", b"y"))


def test_a_request_is_a_post_to_the_service(mdp) -> None:
    mdp.hear(REQUEST)
    (job,) = mdp.jobs
    assert (job.method, job.target, job.body) == ("POST", "/users", [b"x", b"y"])
    mdp.finish(job)
    assert mdp.take() == [Final(b"client", (b'"ok"',))]


def test_parts_are_partials_or_go_with_the_end(mdp) -> None:
    mdp.hear(REQUEST)
    for body in (b"a", b"b"):
        mdp.talk.part(mdp.jobs[0], body)
    mdp.finish(mdp.jobs[0])
    if mdp.codec.streams:
        parts = [Partial(b"client", (b"a",)), Partial(b"client", (b"b",))]
        assert mdp.take() == [*parts, Final(b"client", (b'"ok"',))]
    else:
        assert mdp.take() == [Final(b"client", (b"a", b"b", b'"ok"'))]


def test_a_call_that_is_too_late_gets_a_reply_too(mdp) -> None:
    """MDP cannot report a stopped call: a broker without a FINAL waits forever."""
    mdp.hear(REQUEST)
    for now in range(1, 31):
        mdp.hear(Heartbeat())
        mdp.pass_time(now)
    assert mdp.stopped == mdp.jobs
    mdp.take()
    mdp.finish(mdp.jobs[0], None)
    (final,) = mdp.take()
    assert final.client == b"client"
    assert b'"status":504' in final.body[-1]


def test_a_busy_worker_does_not_give_up_a_broker_that_beats_only_to_the_idle(mdp) -> None:
    """As the workers of the zguide and of majortomo do."""
    mdp.hear(REQUEST)
    mdp.pass_time(20)
    mdp.finish(mdp.jobs[0])
    mdp.pass_time(24)
    assert mdp.reopened == 0
    assert Final(b"client", (b'"ok"',)) in mdp.take()


def test_an_idle_worker_knows_that_old_brokers_beat_every_two_and_a_half_seconds(mdp) -> None:
    for now in (3.5, 7.0, 10.5):
        mdp.pass_time(now)
        mdp.hear(Heartbeat())
    assert mdp.reopened == 0
    mdp.take()
    mdp.pass_time(20)
    if mdp.codec.is_packed:  # C majordomo's broker sends heartbeats only to workers that send none
        assert mdp.reopened == 0
    else:
        assert mdp.reopened == 1
        mdp.connect()
        assert mdp.take()[-1] == Ready("users")


def test_how_long_a_broker_may_be_silent_is_a_setting() -> None:
    talk = MDPConversation(MDP["mdp01"], "users", 0.0, patience=65.0)
    talk.connect(0.0)
    reopened = []
    for now in range(1, 70):
        talk.tick(float(now))
        if talk.take_outbox().reopen:
            reopened.append(now)
    assert reopened == [66]


def test_it_beats_every_second_also_while_busy(mdp) -> None:
    mdp.hear(REQUEST)
    mdp.pass_time(3)
    assert mdp.take() == [Heartbeat()] * 3


def test_heartbeats_are_sent_every_second_besides_other_messages(mdp) -> None:
    """Some brokers accept no other command as a sign of life."""
    for now in (1, 2, 3):
        mdp.hear(Request(b"client%d" % now, (b"",)))
        mdp.finish(mdp.jobs[-1])
        mdp.pass_time(now)
        assert [type(said) for said in mdp.take()] == [Final, Heartbeat]


@pytest.mark.parametrize("command", [Disconnect(), Ready("x"), Final(b"c", (b"",))], ids=repr)
def test_a_worker_starts_again_after_a_disconnect_or_an_invalid_message(mdp, command) -> None:
    mdp.hear(REQUEST)
    mdp.hear(command)
    assert mdp.reopened == 1
    assert mdp.stopped == mdp.jobs
    mdp.connect()
    assert mdp.take() == [Ready("users")]
    mdp.finish(mdp.jobs[0], None)
    assert mdp.take() == []


def test_draining_without_jobs_says_goodbye(mdp) -> None:
    mdp.talk.drain()
    mdp.act()
    assert mdp.take() == [Disconnect()]
    mdp.hear(REQUEST)
    assert mdp.jobs == []


# -- invalid messages ------------------------------------------------------------------------

ITEMS = st.one_of(
    st.builds(
        Call,
        *(st.integers(0, 3), st.integers(-5, 90_000)),
        st.just("GET"),
        st.text("/a"),
        st.just({}),
        st.binary(),
    ),
    st.builds(Cancel, st.integers(0, 3)),
    st.builds(Goaway, st.sampled_from(["draining", "closing", "unknown"])),
    st.builds(Hello, st.just(1), st.just("b")),
    st.builds(Response, st.integers(0, 9), st.integers(0, 700), st.just({}), st.binary()),
    st.just(Beat()),
)


@given(
    st.lists(
        st.one_of(
            st.lists(ITEMS, min_size=1, max_size=4),
            st.lists(st.binary(max_size=6), max_size=4),
            st.floats(0, 5),
            st.integers(0, 9),
        )
    ),
    st.booleans(),
)
def test_no_message_at_any_time_raises_an_exception(steps, drains) -> None:
    talk = Talk("native")
    for step in steps:
        match step:
            case float():
                talk.pass_time(talk.now + step)
            case int():
                if talk.jobs:
                    talk.finish(talk.jobs.pop(), None if step % 2 else OK)
            case [first, *_] if not isinstance(first, bytes):
                talk.talk.receive(native.encode(step), talk.now)
            case frames:
                talk.talk.receive(frames, talk.now)
        talk.act()
    if drains:
        talk.talk.drain()
    talk.pass_time(talk.now + 100)
    for job in talk.jobs:
        talk.finish(job, None)
    assert talk.talk.jobs == {}
    assert talk.talk._deadlines._live == 0


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_the_body_of_a_call_that_has_ended_is_released(*, is_cancelled: bool) -> None:
    """The job stays in the heap of deadlines for a while, and a body may be large."""
    talk = Talk("native")
    talk.hear(Hello(VERSION, "broker"), Call(1, 1000, "POST", "/users", {}, b"large"))
    (job,) = talk.jobs
    assert job.body == b"large"
    if is_cancelled:
        talk.hear(Cancel(1))
    else:
        talk.finish(job)
    assert job.body == b""


def test_collected_parts_are_released_with_the_end() -> None:
    talk = Talk("mdp01")
    talk.hear(Request(b"client", (b"x",)))
    (job,) = talk.jobs
    talk.talk.part(job, b"large")
    talk.finish(job)
    assert talk.take()[-1] == Final(b"client", (b"large", b'"ok"'))
    assert job.gathered == []


def test_an_exception_in_a_worker_ends_one_call_and_not_the_others() -> None:
    conversation = NativeConversation(Hello(VERSION, "w", 4, ("users",)), 0.0)
    conversation.take_outbox()
    worst = Call(2, 10**400, "GET", "/users", {}, b"")  # too large for a float
    conversation._read_items([call(1), worst, call(3)], 0.0)
    outbox = conversation.take_outbox()
    assert [job.id for job in outbox.started] == [1, 3]
    assert [type(error) for error in outbox.faults] == [OverflowError]
    (answer,) = native.decode(outbox.messages[0])
    assert isinstance(answer, Response)
    assert (answer.id, answer.status) == (2, 500)


def test_a_suspended_worker_does_not_start_expired_calls() -> None:
    talk = NativeConversation(Hello(VERSION, "w", 4, ("users",)), now=0.0)

    def hear(now: float, *items) -> list:
        talk.receive(native.encode(items), now)
        return talk.take_outbox().started

    talk.take_outbox()
    hear(0.0, Hello(VERSION, "broker"))
    assert len(hear(1.0, Call(1, 1000, "POST", "/users", {}, b"", None, "", 7_000))) == 1
    assert hear(4.0, Call(2, 1000, "POST", "/users", {}, b"", None, "", 7_500)) == []
    talk.receive(native.encode([Cancel(2)]), 4.0)
    talk.tick(5.0)
    said = [item for frames in talk.take_outbox().messages for item in native.decode(frames)]
    assert Response(2, 504, {}, b"", stopped=True) not in said  # it was sent immediately


# -- messages that the broker has not read ---------------------------------------------------

LARGE = messages.Response(200, body=bytes(100_000))


def answered(talk: Talk) -> list[int]:
    return [item.id for item in talk.take() if isinstance(item, Response)]


def employed(count: int, **hello: Any) -> Talk:
    """Return a conversation that has received this many calls."""
    talk = Talk("native")
    talk.hear(Hello(VERSION, "broker", **hello))
    talk.hear(*[Call(number, 5000, "GET", "/users", {}, b"") for number in range(1, count + 1)])
    talk.take()
    return talk


def test_large_responses_wait_until_the_broker_has_read_those_before() -> None:
    talk = employed(6, window=250_000)
    for job in talk.jobs[:5]:
        talk.finish(job, LARGE)
    assert answered(talk) == [1, 2, 3]
    talk.finish(talk.jobs[5])  # small messages do not overtake: parts come before their end
    assert answered(talk) == []
    assert talk.talk.holds_back
    talk.hear(Credit(0, 100_000))
    assert answered(talk) == [4]
    talk.hear(Credit(0, 10_000_000))
    assert answered(talk) == [5, 6]
    assert not talk.talk.holds_back


@pytest.mark.parametrize("hello", [{}, {"window": 0}])
def test_without_a_window_nothing_waits(hello: dict[str, int]) -> None:
    talk = employed(10, **hello)
    for job in talk.jobs:
        talk.finish(job, LARGE)
    assert answered(talk) == list(range(1, 11))


def test_small_responses_do_not_wait_for_the_window() -> None:
    talk = employed(10, window=1)
    talk.finish(talk.jobs[0], LARGE)
    for job in talk.jobs[1:]:
        talk.finish(job)
    assert answered(talk) == list(range(1, 11))


def test_messages_held_back_are_sent_before_the_goodbye() -> None:
    talk = employed(3, window=1)
    for job in talk.jobs:
        talk.finish(job, LARGE)
    talk.talk.drain()
    talk.act()
    talk.hear(Goaway("draining"))
    assert answered(talk) == [1]
    assert talk.talk.holds_back
    talk.hear(Credit(0, 200_000))
    talk.hear(Credit(0, 200_000))
    talk.hear(Credit(0, 200_000))
    assert [type(item) for item in talk.take()] == [Response, Response, Goaway, Goaway]
    assert not talk.talk.holds_back


def test_the_next_connection_begins_with_an_open_window() -> None:
    talk = employed(3, window=1)
    for job in talk.jobs:
        talk.finish(job, LARGE)
    talk.disconnect()
    talk.connect()
    talk.take()
    talk.hear(Hello(VERSION, "broker", window=1), Call(9, 5000, "GET", "/users", {}, b""))
    talk.finish(talk.jobs[-1], LARGE)
    assert answered(talk) == [9]
