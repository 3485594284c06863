"""The verdicts of broker hooks are carried out: on calls, and on the responses of workers.

Whatever they are, the counters add up (the rig checks this after every step), a worker never
receives a call of a service that it does not offer, and no call circulates forever.
"""

from __future__ import annotations

from typing import Any

import pytest

from trizmq.hook_values import Discard, Forward, Reject, SendTo
from trizmq.messages import Principal
from trizmq.wire import reading as dialects
from trizmq.wire.items import Call, Goaway, Response
from trizmq.wire.mdp import Final, Ready

ADA = Principal("ada")


class Hooks:
    """Returns the given verdicts, in turn, and records its arguments."""

    def __init__(self, *verdicts: Any) -> None:
        self.verdicts = list(verdicts)
        self.asked: list[Any] = []

    def __call__(self, call: Any) -> Any:
        self.asked.append(call)
        return self.verdicts.pop(0) if self.verdicts else None


def answer(backend, address: bytes, body: bytes = b"") -> None:
    (token,) = backend.given(address)
    backend.work(address, Response(token, 200, {}, body))


# -- verdicts on calls ---------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [None, Forward(), Forward(ADA)], ids=repr)
def test_forward_passes_a_call_on_and_sets_the_principal(make_backend, verdict) -> None:
    hooks = Hooks(verdict)
    backend = make_backend(hooks)
    backend.employ(b"n")
    backend.call(1, principal=Principal("root"), headers={"a": "b"})
    (call,) = [said for said in backend.heard(b"n") if isinstance(said, Call)]
    assert call.principal == (verdict.principal if verdict else None)
    (asked,) = hooks.asked
    assert (asked.service, asked.method, asked.headers) == ("users", "POST", {"a": "b"})
    assert (asked.worker, asked.response, asked.principal) == ("", None, None)


def test_reject_responds_immediately(make_backend, read_problem) -> None:
    backend = make_backend(Hooks(Reject(451, "no", {"x-why": "law"})))
    backend.employ(b"n")
    backend.call(1)
    (response,) = backend.responses()
    assert response.headers["x-why"] == "law"
    document = read_problem(response)
    assert (document["status"], document["detail"], document["executed"]) == (451, "no", "no")
    assert backend.given(b"n") == []
    assert backend.broker.counters.refused == 1


def test_discard_sends_no_response(make_backend) -> None:
    backend = make_backend(Hooks(Discard()))
    backend.employ(b"n")
    backend.call(1)
    backend.pass_time(0.5)
    assert backend.answers() == []
    assert backend.given(b"n") == []
    assert backend.broker.in_flight == 0


def test_send_to_another_service_rewrites_the_path(make_backend) -> None:
    backend = make_backend(Hooks(SendTo(service="people")))
    backend.employ(b"n", "users")
    backend.employ(b"m", "people")
    backend.call(1, "/users/1?full=1")
    (call,) = [said for said in backend.heard(b"m") if isinstance(said, Call)]
    assert call.target == "/people/1?full=1"
    assert backend.broker.services["people"].in_flight == 1
    assert backend.given(b"n") == []


def test_send_to_a_service_of_any_name(make_backend) -> None:
    backend = make_backend(Hooks(SendTo(service="a/b c")))
    backend.employ(b"n", "users")
    backend.say(b"w", Ready("a/b c"))
    backend.call(1, "/%75sers/1?full=1")
    assert len(backend.given(b"w")) == 1
    assert backend.broker.services["a/b c"].in_flight == 1


def test_send_to_a_worker_waits_for_that_worker(make_backend) -> None:
    backend = make_backend(Hooks(None, SendTo(worker="m"), SendTo(worker="m")))
    backend.employ(b"n", capacity=9)
    backend.call(0)
    backend.given(b"n")
    backend.employ(b"m")
    backend.call(1)
    backend.call(2)
    answer(backend, b"m")
    answer(backend, b"m")
    assert backend.answers() == [(1, 200), (2, 200)]
    assert backend.given(b"n") == []


@pytest.mark.parametrize(
    "verdict",
    [
        SendTo(service="nobody"),
        SendTo(worker="nobody"),
        SendTo(service="users", worker="nobody"),
        SendTo(worker="other"),
        SendTo(service="orders", worker="n"),
    ],
    ids=repr,
)
def test_an_absent_or_unsuitable_worker_is_a_503(make_backend, read_problem, verdict) -> None:
    backend = make_backend(Hooks(verdict))
    backend.employ(b"n", "users")
    backend.employ(b"other", "orders")
    backend.call(1)
    (response,) = backend.responses()
    assert response.headers["retry-after-ms"]
    document = read_problem(response)
    assert (document["status"], document["executed"]) == (503, "no")
    assert backend.given(b"n") == backend.given(b"other") == []


def test_a_draining_worker_counts_as_absent(make_backend) -> None:
    backend = make_backend(Hooks(SendTo(worker="n")))
    backend.employ(b"n")
    backend.work(b"n", Goaway("draining"))
    backend.call(1)
    assert backend.answers() == [(1, 503)]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_calls_for_a_named_worker_end_when_it_leaves(make_backend, method) -> None:
    backend = make_backend(Hooks(SendTo(worker="n"), SendTo(worker="n")))
    backend.employ(b"n")
    backend.employ(b"m")
    backend.call(1, method=method)
    backend.call(2, method=method)
    backend.backend.lose(b"n", backend.now)
    backend.act()
    if method == "GET":  # the call that the worker had may go to any other worker
        answer(backend, b"m")
        assert backend.answers() == [(2, 503), (1, 200)]
    else:
        assert backend.answers() == [(2, 503), (1, 502)]


def test_the_hook_is_called_for_the_brokers_own_services(make_backend) -> None:
    hooks = Hooks(Reject(403))
    backend = make_backend(hooks)
    backend.call(1, "/mmi/workers", method="GET")
    assert backend.answers() == [(1, 403)]
    assert hooks.asked[0].service == "mmi"


def test_the_hook_is_not_called_for_a_call_that_is_refused_anyway(make_backend) -> None:
    hooks = Hooks()
    backend = make_backend(hooks, target_bytes=10)
    backend.call(1, "/users/" + "x" * 20)
    backend.call(2, ttl=0)
    assert [status for _, status in backend.answers()] == [414, 504]
    assert hooks.asked == []


# -- verdicts on responses -----------------------------------------------------------------


def test_a_hook_receives_the_worker_and_its_response(make_backend) -> None:
    hooks = Hooks()
    backend = make_backend(admit_reply=hooks)
    backend.employ(b"n")
    backend.call(1)
    answer(backend, b"n", b"body")
    (asked,) = hooks.asked
    assert (asked.worker, asked.response.status, asked.response.body) == ("n", 200, b"body")
    assert backend.answers() == [(1, 200)]


def test_a_response_can_be_rejected(make_backend, read_problem) -> None:
    backend = make_backend(admit_reply=Hooks(Reject(500, "unfit")))
    backend.employ(b"n")
    backend.call(1)
    answer(backend, b"n")
    assert read_problem(backend.responses()[0])["executed"] == "maybe"
    assert backend.broker.workers[0].busy == 0


def test_a_response_can_be_discarded(make_backend) -> None:
    backend = make_backend(admit_reply=Hooks(Discard()))
    backend.employ(b"n")
    backend.call(1)
    answer(backend, b"n")
    assert backend.answers() == []
    assert backend.broker.workers[0].busy == backend.broker.in_flight == 0


@pytest.mark.parametrize("verdict", [SendTo(service="users"), SendTo(worker="m")], ids=repr)
def test_a_response_can_be_requested_from_another_worker(make_backend, verdict) -> None:
    backend = make_backend(admit_reply=Hooks(verdict))
    backend.employ(b"n")
    backend.employ(b"m")
    backend.call(1, body=b"what")
    answer(backend, b"n", b"bad")
    (call,) = [said for said in backend.heard(b"m") if isinstance(said, Call)]
    assert call.body == b"what"
    backend.work(b"m", Response(call.id, 200, {}, b"good"))
    assert [response.body for response in backend.responses()] == [b"good"]
    counts = backend.broker.counters
    assert (counts.calls, counts.answered, counts.redispatched) == (1, 1, 1)


def test_a_response_can_be_requested_from_the_same_worker_again(make_backend) -> None:
    backend = make_backend(admit_reply=Hooks(SendTo(worker="n")))
    backend.employ(b"n")
    backend.call(1)
    answer(backend, b"n")
    answer(backend, b"n")
    assert backend.answers() == [(1, 200)]


@pytest.mark.parametrize("dialect", ["mdp01", "mdp02"])
def test_a_call_goes_to_three_workers_at_most(make_backend, read_problem, dialect) -> None:
    backend = make_backend(admit_reply=Hooks(*[SendTo(service="users")] * 9))
    backend.say(b"w", Ready("users"), dialect)
    backend.call(1)
    rounds = 0
    while tokens := backend.given(b"w"):
        backend.say(b"w", Final(tokens[0], (b"",)), dialect)
        rounds += 1
    assert rounds == 3
    assert read_problem(backend.responses()[0])["executed"] == "maybe"
    assert backend.broker.in_flight == 0


def test_the_deadline_of_a_call_applies_to_all_its_attempts(make_backend) -> None:
    backend = make_backend(admit_reply=Hooks(SendTo(worker="m")))
    backend.employ(b"n")
    backend.employ(b"m")
    backend.call(1, ttl=1000)
    answer(backend, b"n")
    backend.tick(1.0)
    assert backend.answers() == [(1, 504)]


def test_a_foreign_client_gets_a_rejection_in_its_dialect(make_backend) -> None:
    hooks = Hooks(Reject(403))
    backend = make_backend(hooks)
    backend.employ(b"n")
    found = dialects.read([b"", b"MDPC01", b"users", b"one", b"two"])
    assert isinstance(found, dialects.ForeignCall)
    backend.frontend.receive_foreign(b"f", found.call, found.return_path, 0.0)
    backend.act()
    (asked,) = hooks.asked
    assert (asked.dialect, asked.body) == ("mdp01", (b"one", b"two"))
    ((_, frames),) = backend.messages
    assert frames[:3] == [b"", b"MDPC01", b"users"]
    assert b'"status":403' in frames[3]
