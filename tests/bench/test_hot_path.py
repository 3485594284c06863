"""The tool that measures each step of a call: it runs, and its tables add up."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from .hot_path.clock import least
from .hot_path.lines import CLIENT, SERVER, SIDES, THREADS, of_process
from .hot_path.report import Report
from .hot_path.subject import measure
from .hot_path.threads import KINDS, Usage, usage_of

if TYPE_CHECKING:
    from pathlib import Path

from .hot_path.lines import Build

#: Enough to show that it works, and far too few for a figure.
PASSES, ROUNDS = 10, 3

TURNS = ("steps", "passes", "sent", "received")


@pytest.fixture(scope="module")
def build() -> Build:
    """Return the measurements of a round, with processes whose figures are all 1."""
    rounds = [measure(PASSES) for _ in range(ROUNDS)]
    steps = {part: least(it[part] for it in rounds) for part in rounds[0]}
    names = [*TURNS, *(f"{kind}{of}" for kind in KINDS for of in ("", ", waits", ", kernel"))]
    steps["both"] = dict.fromkeys(SIDES, 9.0)
    return {**steps, "threads": {f"{side} {it}": 1.0 for side in SIDES for it in names}}


@pytest.mark.parametrize(("side", "lines"), [("server", SERVER), ("client", CLIENT)])
def test_the_lines_add_up_to_the_total_and_cover_most_of_it(build, side, lines) -> None:
    *steps, garbage, rest, whole, _, _ = [line.figure(build[side]) for line in lines]
    assert sum(steps) + garbage + rest == pytest.approx(whole)
    assert 0.5 * whole < sum(steps) < 1.2 * whole  # below the total, except in a hasty test


def test_every_line_is_at_least_the_sum_of_its_nested_lines(build) -> None:
    assert build["server"]["receive"] > build["server"]["open"]
    assert build["client"]["step"] > build["client"]["make"]


def test_a_process_has_a_figure_for_every_line(build) -> None:
    for side in SIDES:
        known = of_process(side, build)
        *parts, whole = [line.figure(known) for line in THREADS[:8]]
        assert sum(parts) == pytest.approx(whole) == 1


def test_a_report_is_tables_for_people_and_json_for_programs(build, tmp_path: Path) -> None:
    report = Report("today", "machine", {"trizmq": "1"}, 2, {"compiled": build, "pure": build})
    report.write(tmp_path)
    lines = (tmp_path / "hot-path.inc").read_text().splitlines()
    assert "| one call | where | compiled | pure |" in lines
    assert sum(line.startswith("| **total, in") for line in lines) == 2
    assert json.loads((tmp_path / "hot-path.json").read_text())["builds"]["pure"] == build


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_threads_are_distinguished() -> None:
    before = usage_of(os.getpid())
    sum(range(10**6))
    used = {kind: usage.minus(before[kind]) for kind, usage in usage_of(os.getpid()).items()}
    assert used["main"].seconds > used["io"].seconds == 0
    assert Usage(own=3, system=1).kernel == 0.25
    assert Usage().kernel == 0
