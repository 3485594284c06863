"""The heap of deadlines: in order, each item once, and never much larger than needed."""

from __future__ import annotations

import random
from collections import deque

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq.deadlines import SMALL, Deadlines, Lag


class Item(msgspec.Struct, eq=False):
    deadline: float
    ended: bool = False


def end(deadlines: Deadlines[Item], item: Item) -> None:
    item.ended = True
    deadlines.forget()


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans())), st.integers(-1, 21))
def test_due_are_those_that_are_due_in_their_order(spec: list[tuple[int, bool]], now: int) -> None:
    deadlines = Deadlines[Item]()
    items = [Item(float(deadline)) for deadline, _ in spec]
    for item in items:
        deadlines.add(item.deadline, item)
    for item, (_, ends) in zip(items, spec, strict=True):
        if ends:
            end(deadlines, item)
    wanted = sorted((item for item in items if item.deadline <= now), key=lambda it: it.deadline)
    wanted = [item for item in wanted if not item.ended]
    found = []
    for item in deadlines.due(now):
        found.append(item)
        end(deadlines, item)
    assert found == wanted
    assert list(deadlines.due(now)) == []
    assert deadlines.next > now
    assert deadlines._live == sum(not item.ended for item in items)


def test_without_any_there_is_nothing_to_wake_up_for() -> None:
    assert Deadlines[Item]().next == float("inf")


def test_the_heap_stays_small() -> None:
    deadlines, live, rng = Deadlines[Item](), deque[Item](), random.Random(1)
    for n in range(100_000):
        item = Item(n + rng.random() * 1e9)
        deadlines.add(item.deadline, item)
        live.append(item)
        while len(live) > rng.randrange(200):
            end(deadlines, live.popleft())
        assert len(deadlines._heap) <= 2 * len(live) + SMALL
    while live:
        end(deadlines, live.popleft())
    assert len(deadlines._heap) <= SMALL


# -- lag --------------------------------------------------------------------------------


def test_a_message_that_took_longer_than_others_is_late() -> None:
    lag = Lag()
    assert lag.of(5_000, 100.0) == 0  # the offset between the clocks is unknown
    assert lag.of(6_000, 101.0) == 0
    assert lag.of(7_000, 104.0) == pytest.approx(2.0, abs=0.01)
    assert lag.of(9_900, 104.9) == 0


def test_a_quicker_one_is_the_new_measure() -> None:
    lag = Lag()
    lag.of(5_000, 102.0)  # it waited there for two seconds
    assert lag.of(8_000, 103.0) == 0
    assert lag.of(9_000, 105.0) == pytest.approx(1.0, abs=0.01)


def test_a_few_milliseconds_are_not_looked_at() -> None:
    lag = Lag()
    lag.of(1_000, 1.0)
    assert lag.of(2_000, 2.04) == 0


def test_the_first_call_is_the_baseline_if_later_ones_have_a_time() -> None:
    lag = Lag()
    assert lag.of(0, 100.0) == 0
    assert lag.of(1_000, 103.0) == pytest.approx(2.0, abs=0.01)


def test_a_peer_without_a_clock_is_never_late() -> None:
    lag = Lag()
    assert [lag.of(0, float(now)) for now in range(1, 100)] == [0.0] * 99


def test_clocks_may_drift() -> None:
    lag = Lag()
    for second in range(1, 100_000):
        assert lag.of(second * 1000, second * 1.00005) == 0
