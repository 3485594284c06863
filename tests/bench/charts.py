"""Charts of a report, as SVG. Only the bench environment has matplotlib."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

import matplotlib as mpl

if TYPE_CHECKING:
    from pathlib import Path

    from .contests import Contest
    from .measure import Outcome
    from .report import Report

__all__ = ["draw"]

mpl.use("svg")
# The same figures produce the same file: no date, no random ids.
mpl.rcParams["svg.hashsalt"] = "trizmq"

from matplotlib import pyplot  # noqa: E402 (it takes the backend that was chosen)

OURS: Final = "tab:blue"
THEIRS: Final = "tab:gray"


def draw(report: Report, directory: Path) -> None:
    """Draw a chart for each contest with calls."""
    for contest, outcomes in report.contests():
        held = {name: outcome for name, outcome in outcomes.items() if outcome.rate}
        if not held:
            continue
        height = 4 if contest.axis else 1.5 + 0.3 * len(held)
        figure, axes = pyplot.subplots(figsize=(8, height), layout="constrained")
        _grow(axes, contest, held) if contest.axis else _compare(axes, held)
        axes.set_title(f"{contest.name}: {contest.title}", fontsize="medium")
        figure.text(0.01, 0.01, _caption(report), fontsize=6, va="bottom")
        figure.get_layout_engine().set(rect=(0, 0.08, 1, 0.92))
        figure.savefig(directory / f"{contest.name}.svg", metadata={"Date": None})
        pyplot.close(figure)


def _compare(axes, held: dict[str, Outcome]) -> None:
    """Draw one bar for each entrant, the fastest on top."""
    names = sorted(held, key=lambda name: held[name].rate)
    colours = [OURS if name.startswith("trizmq") else THEIRS for name in names]
    bars = axes.barh(names, [held[name].rate for name in names], color=colours)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize="small")
    axes.margins(x=0.12)
    axes.set_xlabel("calls/s, median of the rounds")


def _grow(axes, contest: Contest, held: dict[str, Outcome]) -> None:
    """Draw the calls a second and the server's CPU against the axis."""
    at = [entrant.at for entrant in contest.entrants if entrant.name in held]
    axes.plot(at, [outcome.rate for outcome in held.values()], "o-", color=OURS)
    axes.set_xscale("symlog" if 0 in at else "log")
    axes.set_xticks(at, [f"{value:,}" for value in at])
    axes.set_ylim(bottom=0)
    axes.set_xlabel(contest.axis)
    axes.set_ylabel("calls/s", color=OURS)
    cost = axes.twinx()
    cost.plot(at, [_cost(outcome) for outcome in held.values()], "s--", color=THEIRS)
    cost.set_ylim(bottom=0)
    cost.set_ylabel("server, CPU us a call", color=THEIRS)


def _cost(outcome: Outcome) -> float:
    return median(figures.server_us for figures in outcome.rounds)


def _caption(report: Report) -> str:
    names = [f"{name} {version}" for name, version in report.versions.items()]
    half = len(names) // 2
    return "\n".join([report.machine, ", ".join(names[:half]), ", ".join(names[half:])])
