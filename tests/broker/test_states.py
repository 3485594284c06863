"""The table of a call's states: each step does what the table defines, and no other step works."""

from __future__ import annotations

import pytest

from trizmq.broker.calls import TRANSITIONS, Calls, CallState, Flight
from trizmq.broker.clients import LocalPeer
from trizmq.broker.outbox import Outbox
from trizmq.broker.ports import LocalPort
from trizmq.broker.services import Service
from trizmq.limits import Limits
from trizmq.wire.items import Call

METHODS = sorted({method for steps in TRANSITIONS.values() for method in steps})

#: The methods that lead from OPEN to each state.
WAYS = {
    CallState.OPEN: [],
    CallState.QUEUED: ["queue"],
    CallState.ASSIGNED: ["assign"],
    CallState.LINGERING: ["assign", "end"],
    CallState.ENDED: ["end"],
}


class Rig:
    """One call in `Calls`."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.service = Service("users")
        self.worker = LocalPort(Outbox(), ("users",), 1)
        self.peer = LocalPeer(Outbox(), "client", Limits().takes)
        call = Call(1, 1000, "GET", "/users", {}, b"body")
        self.flight = Flight(self.peer, call, 1.0, self.service)
        self.calls.open(self.flight)

    def step(self, method: str) -> None:
        if method == "take":
            assert self.calls.take(self.service.queue) in (self.flight, None)
        elif method == "assign":
            self.calls.assign(self.flight, self.worker)
        else:
            getattr(self.calls, method)(self.flight)

    def counts(self) -> tuple[int, int, int, int, int]:
        """Return calls in flight and at workers, and bytes queued, held and of the worker."""
        calls, service, worker = self.calls, self.service, self.worker
        queued = bool(calls.queued_bytes)
        return calls.in_flight, service.in_flight, queued, calls.held_bytes, worker.held


COUNTS = {
    CallState.OPEN: (1, 0, 0, 4, 0),
    CallState.QUEUED: (1, 0, 1, 4, 0),
    CallState.ASSIGNED: (1, 1, 0, 4, 4),
    CallState.LINGERING: (0, 1, 0, 4, 4),
    CallState.ENDED: (0, 0, 0, 0, 0),
}


@pytest.fixture(params=list(CallState), ids=lambda state: state.name)
def rig(request: pytest.FixtureRequest) -> Rig:
    """A call in each state."""
    rig = Rig()
    for method in WAYS[request.param]:
        rig.step(method)
    assert rig.flight.state is request.param
    return rig


@pytest.mark.parametrize("method", METHODS)
def test_a_step_follows_the_table_or_changes_nothing(rig: Rig, method: str) -> None:
    before = rig.flight.state
    after = TRANSITIONS[before].get(method)
    if after is None and method == "take":
        rig.step(method)  # the queue is empty
        after = before
    elif after is None:
        with pytest.raises((RuntimeError, AssertionError)):
            rig.step(method)
        after = before
    else:
        rig.step(method)
    assert rig.flight.state is after
    assert rig.counts() == COUNTS[after]


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    reached = {after for steps in TRANSITIONS.values() for after in steps.values()}
    assert TRANSITIONS.keys() == set(CallState) == reached


def test_the_properties_of_a_call_follow_from_its_state(rig: Rig) -> None:
    flight, state = rig.flight, rig.flight.state
    assert flight.is_queued is (state is CallState.QUEUED)
    assert flight.has_worker is (state in (CallState.ASSIGNED, CallState.LINGERING))
    assert flight.ended is (state in (CallState.LINGERING, CallState.ENDED))
    assert (flight.id in rig.peer.flights) is not flight.ended
