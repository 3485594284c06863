"""Measure the steps of a call: `nox -s hotpath`.

This measures the installed trizmq and, if that one is compiled, also the sources in this checkout,
which are pure Python. All traffic stays on the loopback interface.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from ..machine import describe, own_versions
from .clock import least
from .lines import SIDES, WHOLE
from .processes import HERE, PATIENCE, Pair, start
from .report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .clock import Costs
    from .lines import Build

#: Less than two minutes: each round measures the builds in turn, and the minimum counts.
ROUNDS: Final = 14

#: How often 64 calls take each step in a round, and the calls of each of 64 tasks.
PASSES: Final = 60
TIMES: Final = 300

SOURCES: Final = {"PYTHONPATH": str(HERE.parent)}


@final
class Subject:
    """One build of trizmq: processes that measure it, and a server and a client that use it."""

    def __init__(self, stack: ExitStack, variables: Mapping[str, str]) -> None:
        self._subjects = {
            side: start(stack, "-m bench.hot_path.subject", variables) for side in SIDES
        }
        self.name = {it.read(PATIENCE).strip() for it in self._subjects.values()}.pop()
        self._pair = Pair(stack, variables)
        self._steps: list[Build] = []
        self._threads: list[Costs] = []

    def measure(self) -> None:
        """Run one round."""
        answer = self._subjects["server"].ask(f"all {PASSES}", PATIENCE)
        self._steps.append({**json.loads(answer), "both": self._measure_both()})
        self._threads.append(self._pair.measure(TIMES))

    def _measure_both(self) -> Costs:
        """Return the total of each side while the other side is working as well."""
        with ThreadPoolExecutor() as pool:
            answers = pool.map(
                lambda side: self._subjects[side].ask(f"{side} {TIMES}", PATIENCE), SIDES
            )
            wholes = [json.loads(answer)[WHOLE] for answer in answers]
        return dict(zip(SIDES, wholes, strict=True))

    def result(self) -> Build:
        """Return the minimum of each step, and the threads of the cheapest round."""
        build = {part: least(it[part] for it in self._steps) for part in self._steps[0]}
        cheapest = min(self._threads, key=lambda it: it["server main"] + it["client main"])
        return {**build, "threads": cheapest | self._pair.kernel()}


def main() -> None:
    options = _options()
    if sys.platform != "linux":
        raise SystemExit("this reads /proc: Linux only")
    report = Report(_today(), describe(), own_versions(), options.rounds)
    with ExitStack() as stack:
        subjects = [Subject(stack, {})]
        if subjects[0].name == "compiled":
            subjects.append(Subject(stack, SOURCES))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
            for subject in subjects:
                subject.measure()
        report.builds = {subject.name: subject.result() for subject in subjects}
    report.write(options.output)
    print(report.json() if options.json else "\n".join(report.lines()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s hotpath --", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print JSON, not the tables")
    return parser.parse_args()


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


if __name__ == "__main__":
    main()
