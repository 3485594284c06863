"""An exception in the broker's own code ends one call, with a 500, and has no other effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trizmq.wire.items import Call, Response
from trizmq.wire.mdp import Final, Ready
from trizmq.wire.return_path import PLAIN, ReturnPath

if TYPE_CHECKING:
    from trizmq.hook_values import AdmittedCall

    from .conftest import BackendRig, MakeBackend

PATHS = {
    "plain": ReturnPath(PLAIN, (b"",)),
    "mdp01": ReturnPath("mdp01", (b"",), b"users"),
    "mdp02": ReturnPath("mdp02", (), b"users"),
    "majortomo": ReturnPath("majortomo", (b"",), b"users"),
}


def broken(call: AdmittedCall) -> None:
    """Fail where no hook can fail: the application catches the exceptions of plugins."""
    if "broken" in call.target:
        raise ZeroDivisionError("our own fault")


def call(call_id: int, target: str = "/users") -> Call:
    return Call(call_id, 30_000, "GET", target, {}, b"")


def faults(rig: Any) -> int:
    return rig.broker.counters.faults


def test_a_fault_ends_one_native_call_alone(make_backend: MakeBackend, read_problem) -> None:
    rig = make_backend(admit=broken)
    rig.employ(b"w", capacity=4)
    rig.receive(call(1), call(2, "/users/broken"), call(3))
    response, *others = rig.responses()
    assert others == []
    assert (response.id, response.status) == (2, 500)
    assert read_problem(response)["executed"] == "no"
    for token in rig.given(b"w"):
        rig.work(b"w", Response(token, 200, {}, b"{}"))
    assert rig.answers() == [(1, 200), (3, 200)]
    assert faults(rig) == 1


@pytest.mark.parametrize("dialect", PATHS)
def test_a_fault_in_a_foreign_call_is_a_500(make_backend: MakeBackend, dialect) -> None:
    rig = make_backend(admit=broken)
    for target in ["/users/broken", "/users/broken/again"]:
        rig.frontend.receive_foreign(b"f", call(0, target), PATHS[dialect], rig.now)
        rig.act()
    assert [address for address, _ in rig.messages] == [b"f", b"f"]
    assert all(b"500" in b"".join(frames) for _, frames in rig.messages)
    assert rig.broker.clients == 1  # the rig's native client; the foreign one is forgotten


def test_every_fault_is_reported_to_the_driver_once(make_backend: MakeBackend) -> None:
    rig = make_backend(admit=broken)
    rig.frontend.receive(b"a", [call(1, "/broken")], rig.now, 100)
    outbox = rig.broker.take_outbox()
    assert [type(error) for error in outbox.faults] == [ZeroDivisionError]
    assert rig.broker.take_outbox().is_empty


def replies_broken(call: AdmittedCall) -> None:
    if call.response is not None and call.response.status == 418:
        raise ZeroDivisionError("our own fault")


def test_a_fault_in_a_response_frees_its_worker(make_backend: MakeBackend) -> None:
    rig = make_backend(admit_reply=replies_broken)
    rig.employ(b"w", capacity=2)
    rig.receive(call(1), call(2))
    one, two = rig.given(b"w")
    rig.work(b"w", Response(one, 418, {}, b""), Response(two, 200, {}, b""))
    assert rig.answers() == [(1, 500), (2, 200)]
    assert [worker.busy for worker in rig.broker.workers] == [0]


def test_a_fault_in_an_mdp_reply_ends_its_call(make_backend: MakeBackend) -> None:
    def admit_reply(_: AdmittedCall) -> None:
        raise ZeroDivisionError("our own fault")

    rig = make_backend(admit_reply=admit_reply)
    rig.say(b"m", Ready("users"))
    rig.receive(Call(1, 30_000, "POST", "/users", {}, b""))
    (token,) = rig.given(b"m")
    rig.say(b"m", Final(token, (b"{}",)))
    assert [status for _, status in rig.answers()] in ([500], [502])
    assert rig.broker.in_flight == 0


def test_the_local_worker_survives_a_fault_in_its_broker(make_broker) -> None:
    rig = make_broker()
    rig.greet(b"a")
    rig.call(1)
    (flight,) = rig.started
    rig.finish(flight, _Broken())
    assert rig.answers() == [(1, 500)]
    assert rig.worker.busy == 0


class _Broken:
    """An object that is no response: nothing like it ever reaches the engine."""

    @property
    def status(self) -> int:
        raise ZeroDivisionError("our own fault")

    is_error = status


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("headers", [{"a": "\ud800"}, {1: "a"}])
def test_an_unencodable_response_is_a_500_in_each_dialect(backend: BackendRig, dialect, headers):
    response = Response(1, 200, headers, b"text")
    frames = PATHS[dialect].encode(response)
    if dialect == "plain":
        assert b'"status":500' in frames[1]
    else:
        assert frames[-1] == b"text"  # MDP has no headers
