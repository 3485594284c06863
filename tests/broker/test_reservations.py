"""A call that kills its worker takes no others with it, and is identified at the second loss."""

from __future__ import annotations

import pytest

from trizmq.wire.items import Call, Goaway, Heartbeat, Response
from trizmq.wire.mdp import Disconnect, Ready


class Shop:
    """Named workers that handle their calls, and die of one particular call."""

    def __init__(self, backend, poison: int, capacity: int) -> None:
        self.backend = backend
        self.poison = f"/users/{poison}"
        self.capacity = capacity
        self.hired = 0
        self.alive: list[bytes] = []
        self.dead = 0

    def hire(self) -> None:
        name = b"w%d" % self.hired
        self.hired += 1
        self.backend.employ(name, capacity=self.capacity)
        self.alive.append(name)

    def work(self) -> bool:
        """Let each worker handle its calls; return whether there were any."""
        worked = False
        for name in list(self.alive):
            calls = [one for one in self.backend.heard(name) if isinstance(one, Call)]
            worked |= bool(calls)
            if any(call.target == self.poison for call in calls):
                self.alive.remove(name)
                self.dead += 1
                self.backend.backend.lose(name, self.backend.now)
                self.backend.act()
                self.hire()
            elif calls:
                self.backend.work(name, *(Response(call.id, 200, {}, b"") for call in calls))
        return worked


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("capacity", [1, 10])
@pytest.mark.parametrize("poison", [0, 7, 19])
def test_innocent_calls_get_responses(backend, workers, capacity, poison) -> None:
    shop = Shop(backend, poison, capacity)
    for _ in range(workers):
        shop.hire()
    for call_id in range(20):
        backend.call(call_id, f"/users/{call_id}", method="GET")
    while shop.work():
        pass
    outcomes = dict(backend.answers())
    assert outcomes.pop(poison) == 502
    assert outcomes == dict.fromkeys(set(range(20)) - {poison}, 200)
    assert shop.dead == 2


def test_a_suspect_is_alone_with_its_worker(backend) -> None:
    backend.employ(b"x", capacity=4)
    for call_id in (1, 2):
        backend.call(call_id, method="GET")
    backend.given(b"x")
    backend.backend.lose(b"x", backend.now)
    backend.act()
    backend.employ(b"y", capacity=4)
    (first,) = backend.given(b"y")
    backend.call(3)
    assert backend.given(b"y") == []
    backend.work(b"y", Response(first, 200, {}, b""))
    assert backend.answers() == [(1, 200)]
    assert len(backend.given(b"y")) == 1  # call 3; then the other suspect


def test_a_busy_worker_is_emptied_for_a_suspect(backend) -> None:
    backend.employ(b"x", capacity=4)
    backend.call(1, method="GET")
    backend.employ(b"y", capacity=4)
    backend.call(2)
    backend.given(b"x")
    (other,) = backend.given(b"y")
    backend.backend.lose(b"x", backend.now)
    backend.act()
    backend.call(3)
    assert backend.given(b"y") == []
    backend.work(b"y", Response(other, 200, {}, b""))
    (suspect,) = backend.given(b"y")
    backend.work(b"y", Response(suspect, 200, {}, b""))
    assert backend.answers() == [(2, 200), (1, 200)]
    assert len(backend.given(b"y")) == 1


def test_no_worker_is_emptied_for_long(backend) -> None:
    """Its calls may take long. Then it receives the suspect anyway, and no other call."""
    backend.employ(b"x", capacity=4)
    backend.call(1, method="GET")
    backend.call(2, method="GET")
    backend.given(b"x")
    backend.employ(b"y", capacity=4)
    backend.call(3)
    backend.given(b"y")
    backend.backend.lose(b"x", backend.now)
    backend.act()
    backend.call(4)
    assert backend.given(b"y") == []
    backend.work(b"y", Heartbeat())
    backend.tick(1.1)
    (suspect,) = backend.given(b"y")
    backend.work(b"y", Response(suspect, 200, {}, b""))
    assert backend.answers() == [(1, 200)]
    assert len(backend.given(b"y")) == 1


def test_half_of_the_workers_continue_with_other_calls(backend) -> None:
    names = [b"a1", b"a2", b"a3", b"a4", b"dead"]
    for name in names:
        backend.employ(name, capacity=9)
    for call_id in range(45):
        backend.call(call_id, method="GET")
    given = {name: backend.given(name) for name in names}
    backend.backend.lose(b"dead", backend.now)
    backend.act()
    for name in names[:4]:
        backend.work(name, *(Response(token, 200, {}, b"") for token in given[name]))
    for call_id in range(100, 108):
        backend.call(call_id)
    busy = sorted(worker.busy for worker in backend.broker.workers)
    assert busy == [1, 1, 4, 4]


def test_a_worker_that_says_goodbye_has_not_died_of_its_calls(backend) -> None:
    for name in (b"x", b"y"):
        backend.employ(name)
        if name == b"x":
            backend.call(1, method="GET")
            backend.given(b"x")
            backend.work(b"x", Goaway("closing"))
    (token,) = backend.given(b"y")
    backend.backend.lose(b"y", backend.now)
    backend.employ(b"z")
    (token,) = backend.given(b"z")
    backend.work(b"z", Response(token, 200, {}, b""))
    assert backend.answers() == [(1, 200)]


def test_a_lost_worker_is_reported_with_its_calls(backend) -> None:
    backend.employ(b"x", capacity=9)
    for call_id in range(5):
        backend.call(call_id, f"/users/{call_id}?secret=1", method="GET")
    backend.backend.lose(b"x", backend.now)
    backend.act()
    (reason,) = [event.reason for event in backend.events if event.kind == "worker-lost"]
    assert reason.startswith("it is not connected; it had GET /users/0 (a-0), GET /users/1 (a-1)")
    assert reason.endswith(", 2 more")
    assert "secret" not in reason


def test_suspects_whose_callers_have_gone_delay_nothing(backend) -> None:
    backend.employ(b"x", capacity=4)
    backend.call(1, method="GET", ttl=500)
    backend.given(b"x")
    backend.employ(b"y", capacity=4)
    backend.call(2)
    (other,) = backend.given(b"y")
    backend.backend.lose(b"x", backend.now)
    backend.act()
    backend.tick(0.6)
    assert backend.answers() == [(1, 504)]
    backend.call(3)
    backend.work(b"y", Response(other, 200, {}, b""))
    assert len(backend.given(b"y")) == 1


# -- calls that could not be sent ----------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_call_that_could_not_be_sent_goes_to_another_worker(backend, method) -> None:
    for name in (b"x", b"y"):
        backend.employ(name, capacity=4)
    backend.call(1, method=method)
    (token,) = backend.given(b"x")
    backend.backend.lose(b"x", backend.now, undelivered=[token])
    backend.act()
    (again,) = backend.given(b"y")
    backend.call(2)
    assert len(backend.given(b"y")) == 1  # it is no suspect
    backend.work(b"y", Response(again, 200, {}, b""))
    assert backend.answers() == [(1, 200)]


def test_a_call_that_could_not_be_sent_waits_if_there_is_no_other(backend, read_problem) -> None:
    backend.employ(b"x")
    backend.call(1, ttl=1000)
    (token,) = backend.given(b"x")
    backend.backend.lose(b"x", backend.now, undelivered=[token])
    backend.tick(1.5)
    (response,) = backend.responses()
    assert (response.status, read_problem(response)["executed"]) == (504, "no")


def test_only_the_sent_calls_of_a_lost_worker_are_lost(backend) -> None:
    backend.employ(b"x", capacity=4)
    backend.call(1)
    backend.call(2)
    _, second = backend.given(b"x")
    backend.backend.lose(b"x", backend.now, undelivered=[second])
    backend.act()
    assert backend.answers() == [(1, 502)]
    backend.employ(b"y")
    backend.work(b"y", Response(backend.given(b"y")[0], 200, {}, b""))
    assert backend.answers() == [(2, 200)]


def test_an_unreachable_mdp_worker_has_not_received_the_call(backend) -> None:
    backend.say(b"x", Ready("users"))
    backend.call(1)
    (token,) = backend.given(b"x")
    backend.backend.lose(b"x", backend.now, undelivered=[b"", b"MDPW02", b"\x02", token, b"", b""])
    backend.say(b"y", Ready("users"))
    assert len(backend.given(b"y")) == 1
    backend.say(b"y", Disconnect())


# -- a deadline that passes at a worker ----------------------------------------------------


def test_a_handler_that_its_worker_stopped_at_the_deadline_is_a_504(backend, read_problem) -> None:
    backend.employ(b"x")
    backend.call(1, ttl=1000)
    (token,) = backend.given(b"x")
    backend.now = 0.999  # the deadline has passed on the worker's clock
    backend.work(b"x", Response(token, 504, {}, b"", stopped=True))
    (response,) = backend.responses()
    assert (response.status, read_problem(response)["executed"]) == (504, "maybe")
    assert backend.broker.counters.expired == 1
    backend.tick(1.0)
    assert backend.answers() == []


# -- children of the broker's process ------------------------------------------------------


def test_a_child_is_identified_by_its_secret_and_has_its_name(backend) -> None:
    backend.broker.expect_child("w1-abc", "secret")
    backend.employ(b"secret")
    assert backend.kinds() == [("worker-ready", "w1-abc")]
    backend.broker.lose_named("w1-abc", "SIGKILL", 0.0)
    backend.act()
    assert backend.kinds() == [("worker-lost", "w1-abc")]
    backend.employ(b"secret")  # its process has ended, so the secret is no longer valid
    assert backend.kinds() == [("worker-ready", "secret")]


def test_no_other_worker_has_the_name_of_a_child(backend) -> None:
    """Its end would be mistaken for the child's, and the child would be killed."""
    backend.broker.expect_child("w1-abc", "secret")
    backend.employ(b"w1-abc")
    backend.employ(b"secret")
    backend.backend.lose(b"w1-abc", backend.now)
    backend.act()
    assert [name for _, name in backend.kinds()] == [
        "w1-abc (no child)",
        "w1-abc",
        "w1-abc (no child)",
    ]
    backend.broker.lose_named("w1-abc", "SIGKILL", 0.0)
    assert backend.broker.workers == []
