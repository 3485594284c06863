"""The results of a run: everything as JSON, and tables in Markdown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .contests import CONTESTS
from .goals import GOALS, Range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .contests import Contest
    from .goals import Goal
    from .measure import Effort, Outcome

__all__ = ["Report"]

MIB: Final = 1024

COLUMNS: Final = (
    "calls/s",
    "p50, us",
    "p99, us",
    "server, us/call",
    "client, us/call",
    "server, MiB",
    "client, MiB",
)


@dataclass
class Report:
    """One run, with its results so far."""

    date: str
    machine: str
    versions: dict[str, str]
    effort: Effort
    results: dict[str, dict[str, Outcome]] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Write ``results.json`` and ``results.inc``, which the documentation includes."""
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, default=str)
        (directory / "results.json").write_text(text + "\n")
        (directory / "results.inc").write_text("\n".join(self.lines()) + "\n")

    def contests(self) -> Iterator[tuple[Contest, dict[str, Outcome]]]:
        """Return the contests that were run, in order."""
        for contest in CONTESTS:
            if contest.name in self.results:
                yield contest, self.results[contest.name]

    def lines(self) -> Iterator[str]:
        """Return the report in Markdown."""
        yield from self._head()
        yield from ["", "## Goals", "", *_table(GOAL_HEADS, map(self._goal, GOALS))]
        for contest, outcomes in self.contests():
            yield from ["", f"## {contest.name}: {contest.title}", ""]
            yield from _table(("", *COLUMNS, *_ratio_head(outcomes)), _rows(outcomes))
            yield from _notes(contest, outcomes)
            if any(outcome.rate for outcome in outcomes.values()):
                yield from ["", f"![{contest.title}]({contest.name}.svg)"]

    def _head(self) -> Iterator[str]:
        effort = self.effort
        yield f"Measured on {self.date}: {self.machine}. {effort.rounds} rounds of "
        yield f"{effort.seconds:g} s for each entrant."
        yield ""
        yield ", ".join(f"{name} {version}" for name, version in self.versions.items()) + "."

    def _goal(self, goal: Goal) -> list[str]:
        bounds = [goal.form.format(goal.must), goal.form.format(goal.aim)]
        measured = goal.measured(self.results)
        if measured is None:
            return [goal.words, *bounds, "not measured", "", ""]
        middle, span = _span(measured, goal.form)
        return [goal.words, *bounds, middle, span, goal.verdict(measured.median)]


GOAL_HEADS: Final = ("goal", "must", "aim", "measured", "range", "reached")


def _span(values: Range, form: str) -> tuple[str, str]:
    least, most = form.format(values.least), form.format(values.most)
    return form.format(values.median), f"{least} to {most}"


def _table(heads: Sequence[str], rows: Any) -> list[str]:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _ratio_head(outcomes: dict[str, Outcome]) -> list[str]:
    return [f"calls/s of {first}'s" for first in list(outcomes)[:1]]


def _rows(outcomes: dict[str, Outcome]) -> Iterator[list[str]]:
    first = next(iter(outcomes.values()))
    for name, outcome in outcomes.items():
        if outcome.absent:
            yield [name, "not available", *[""] * len(COLUMNS)]
        else:
            yield [name, *_cells(outcome), _ratio(outcome, first)]


def _cells(outcome: Outcome) -> list[str]:
    def middle(name: str, unit: float = 1) -> float:
        return Range.of([getattr(figures, name) / unit for figures in outcome.rounds]).median

    whole = ("rate", "p50_us", "p99_us")
    costs = ("server_us", "client_us")
    peaks = ("server_peak_kib", "client_peak_kib")
    return [
        *(f"{middle(name):,.0f}" for name in whole),
        *(f"{middle(name):,.1f}" for name in costs),
        *(f"{middle(name, MIB):,.0f}" for name in peaks),
    ]


def _ratio(outcome: Outcome, first: Outcome) -> str:
    """Return the rate relative to the first entrant's, round by round: median and range."""
    pairs = zip(outcome.rounds, first.rounds, strict=False)
    ratios = [ours.rate / theirs.rate for ours, theirs in pairs if theirs.rate]
    if not ratios:
        return ""
    middle, span = _span(Range.of(ratios), "{:.2f}")
    return f"{middle} ({span})"


def _notes(contest: Contest, outcomes: dict[str, Outcome]) -> Iterator[str]:
    said = {e.name: e.target.note for e in contest.entrants if e.name in outcomes}
    notes = {} if contest.axis else {name: note for name, note in said.items() if note}
    absent = {name: f"not available: {o.absent}" for name, o in outcomes.items() if o.absent}
    if notes | absent:
        yield ""
        yield from (f"- {name}: {text}" for name, text in (notes | absent).items())
