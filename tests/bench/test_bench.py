"""The arithmetic of the benchmark suite: turns, ratios, verdicts. No other check would fail."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from .contests import CONTESTS
from .goals import GOALS, Goal, Range
from .measure import Effort, Figures, Outcome, in_turn
from .peers.orders import Order, read_order
from .process import Died, Process
from .report import Report

if TYPE_CHECKING:
    from pathlib import Path


def figures(rate: float) -> Figures:
    return Figures(rate, 1.0, 2.0, 3.0, 4.0, 5, 6, 7)


def outcome(*rates: float) -> Outcome:
    return Outcome(tuple(map(figures, rates)))


def test_every_second_round_is_in_reverse_order() -> None:
    names = ["a", "b", "c"]
    assert [in_turn(names, number) for number in range(3)] == [names, names[::-1], names]


def test_a_ratio_is_within_one_round_and_its_range_over_all_rounds() -> None:
    goal = Goal("words", "W2-64", "one", "other", must=1.5, aim=4)
    results = {"W2-64": {"one": outcome(10, 40, 90), "other": outcome(10, 20, 30)}}
    assert goal.measured(results) == Range(2, 1, 3)
    assert goal.measured({}) is None
    assert goal.measured({"W2-64": {"one": outcome(1), "other": Outcome(absent="why")}}) is None


@pytest.mark.parametrize(
    ("value", "is_ceiling", "verdict"),
    [(5, False, "aim"), (3, False, "must"), (1, False, "missed"), (1, True, "aim")],
)
def test_a_verdict_names_the_bound_that_is_reached(value, is_ceiling, verdict) -> None:
    must, aim = (4, 2) if is_ceiling else (2, 4)
    assert Goal("", "", "", "", must, aim, is_ceiling=is_ceiling).verdict(value) == verdict


def test_every_goal_compares_existing_entrants() -> None:
    entrants = {contest.name: {e.name for e in contest.entrants} for contest in CONTESTS}
    assert all({goal.entrant, goal.other} <= entrants[goal.contest] for goal in GOALS)


def test_the_names_of_entrants_in_a_contest_are_distinct() -> None:
    for contest in CONTESTS:
        names = [entrant.name for entrant in contest.entrants]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("in_flight", [1, 2, 3, 7])
def test_every_connection_is_used_and_tasks_share_none_if_there_are_enough(in_flight) -> None:
    order = Order(in_flight=in_flight, connections=3)
    assert read_order(order.write()) == order
    shares = [order.share([*"abcd"], task) for task in range(order.tasks)]
    assert {name for share in shares for name in share} == {*"abc"}
    assert sum(map(len, shares)) == max(in_flight, 3)


def test_a_report_has_a_row_for_unavailable_entrants(tmp_path: Path) -> None:
    report = Report("today", "machine", {"trizmq": "1"}, Effort(2, 1.0, 0.1))
    report.results["W1"] = {"trizmq": outcome(10, 30), "rpyc": Outcome(absent="no compiler")}
    report.write(tmp_path)
    lines = (tmp_path / "results.inc").read_text().splitlines()
    assert "| trizmq | 20 | 1 | 2 | 3.0 | 4.0 | 0 | 0 | 1.00 (1.00 to 1.00) |" in lines
    assert "- rpyc: not available: no compiler" in lines
    read: Any = json.loads((tmp_path / "results.json").read_text())
    assert read["results"]["W1"]["trizmq"]["rounds"][1]["rate"] == 30


linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

ECHO = "import sys\nfor line in sys.stdin: sum(range(10**6)); print(line, end='', flush=True)"


@pytest.fixture
def start(tmp_path: Path):
    started = []

    def start(source: str) -> Process:
        command = [sys.executable, "-c", source]
        started.append(Process(command, tmp_path, dict(os.environ), tmp_path / "log"))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@linux
def test_the_cost_of_a_child_is_measured_while_it_runs(start) -> None:
    child = start(ECHO)
    assert child.ask("one", 20) == "one\n"
    before = child.cpu_seconds()
    assert child.ask("two", 20) == "two\n"
    assert before < child.cpu_seconds() < before + 20
    now, peak = child.memory()
    assert 1000 < now <= peak


@linux
def test_the_cost_of_a_descendant_is_included(start) -> None:
    lone, parent = (
        start(ECHO),
        start(f"import subprocess, sys; subprocess.run({[sys.executable, '-c', ECHO]})"),
    )
    assert lone.ask("one", 20) == parent.ask("one", 20)
    assert parent.memory()[0] > 1.5 * lone.memory()[0]


def test_the_error_of_a_dead_or_silent_child_explains_why(start) -> None:
    with pytest.raises(Died, match="no such thing"):
        start("raise SystemExit('no such thing')").ask("one", 20)
    with pytest.raises(Died, match="exit code -9"):
        start("import time; time.sleep(60)").read(0.1)
