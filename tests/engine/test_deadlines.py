"""The heap of deadlines: in order, each once, and never much larger than what is in flight."""

from __future__ import annotations

import random
from collections import deque

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trizmq.deadlines import SMALL, Deadlines


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
