"""The benchmark suite, which people run on a quiet machine: `nox -s bench`.

All traffic stays on the loopback interface. Servers and clients are separate processes, which end
with this one.
"""

from __future__ import annotations

import argparse
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from . import charts
from .contests import CONTESTS
from .environments import Environments
from .machine import describe, own_versions
from .measure import Effort, measure
from .report import Report

if TYPE_CHECKING:
    from .contests import Contest

#: Eight rounds: four in each order. Quick: two minutes, enough for a rough idea.
FULL, QUICK = Effort(8, 1.0, 0.2), Effort(2, 0.4, 0.1)


def main() -> None:
    options = _options()
    if sys.platform != "linux":
        raise SystemExit("this suite reads /proc: Linux only")
    _allow_files()
    effort = QUICK if options.quick else FULL
    effort = Effort(options.rounds or effort.rounds, effort.seconds, effort.warm_up)
    environments = Environments(options.peers.absolute())
    today = datetime.now(UTC).date().isoformat()
    report = Report(today, describe(), own_versions(), effort)
    for contest in _chosen(options):
        report.results[contest.name] = measure(contest, effort, environments, _say)
        report.versions |= environments.versions
        report.write(options.output)
    charts.draw(report, options.output)
    _say("\n".join(report.lines()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    names = [contest.name for contest in CONTESTS]
    parser.add_argument("--quick", action="store_true", help="two minutes, for a rough idea")
    parser.add_argument("--only", nargs="+", choices=names, help="these contests")
    parser.add_argument("--against", nargs="+", metavar="NAME", help="these entrants")
    parser.add_argument("--rounds", type=int, help="how often each entrant has its turn")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), metavar="DIR")
    parser.add_argument("--peers", type=Path, default=Path(".nox/bench-peers"), metavar="DIR")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Contest]:
    if options.only:
        chosen = [contest for contest in CONTESTS if contest.name in options.only]
    else:
        chosen = [contest for contest in CONTESTS if contest.is_quick or not options.quick]
    return [contest.among(options.against) for contest in chosen] if options.against else chosen


def _allow_files() -> None:
    """Raise the limit on open files as far as possible: there are 2,000 connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
