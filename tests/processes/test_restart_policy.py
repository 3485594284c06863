"""A child that dies is restarted immediately; after five early deaths in a minute, later."""

from __future__ import annotations

import pytest

from trizmq.processes.supervisor import FIRST_PAUSE, SETTLED, RestartPolicy


def pauses(*deaths: float) -> list[float]:
    """Return the pause after each of these deaths."""
    policy = RestartPolicy()
    found = []
    for now in deaths:
        policy.note_death(now)
        found.append(max(0, policy.not_before - now))
    return found


@pytest.mark.parametrize(
    ("deaths", "expected"),
    [
        # Single ones, forever.
        ([0, 30, 60, 90, 120, 150], [0] * 6),
        ([0, 1, 2, 3], [0] * 4),
        # The fifth within a minute, including its edge.
        ([0, 1, 2, 3, 4], [0, 0, 0, 0, 1]),
        ([0, 15, 30, 45, 60], [0, 0, 0, 0, 1]),
        ([0, 15, 30, 45, 60.1], [0] * 5),
        # Each next one after the pause doubles it, up to half a minute.
        ([0, 0, 0, 0, 0, 1, 3, 7, 15, 31, 61, 91], [0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]),
        # Deaths at the same time, or during the pause, count as one.
        ([0] * 9, [0, 0, 0, 0, 1, 1, 1, 1, 1]),
        ([0, 0, 0, 0, 0, 0.5, 1], [0, 0, 0, 0, 1, 0.5, 2]),
        # Fewer deaths do not end the pauses; a whole minute without any does.
        ([0, 0, 0, 0, 0, 50, 100, 150], [0, 0, 0, 0, 1, 2, 4, 8]),
        ([0, 0, 0, 0, 0, 50, 110, 111], [0, 0, 0, 0, 1, 2, 0, 0]),
    ],
)
def test_the_pause_after_each_death(deaths: list[float], expected: list[float]) -> None:
    assert pauses(*deaths) == expected


def test_the_first_start_is_immediate() -> None:
    assert RestartPolicy().not_before < 0


def test_the_death_of_a_settled_child_is_an_accident() -> None:
    policy = RestartPolicy()
    for second in range(0, 60, 2):
        policy.note_death(second, served=SETTLED)
        assert policy.not_before <= second
    for second in range(60, 65):
        policy.note_death(second, served=SETTLED / 2)
    assert policy.not_before == 64 + FIRST_PAUSE
