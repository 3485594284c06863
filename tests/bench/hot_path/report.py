"""The results of a run: everything as JSON, and tables in Markdown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from .lines import CLIENT, SERVER, SIDES, THREADS, of_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .lines import Build, Line

__all__ = ["Report"]


@dataclass
class Report:
    """One run; ``builds`` by name: compiled, or pure Python, or both."""

    date: str
    machine: str
    versions: dict[str, str]
    rounds: int
    builds: dict[str, Build] = field(default_factory=dict)

    def write(self, directory: Path) -> None:
        """Write ``hot-path.json``, and ``hot-path.inc``, which the documentation includes."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "hot-path.json").write_text(self.json() + "\n")
        (directory / "hot-path.inc").write_text("\n".join(self.lines()) + "\n")

    def json(self) -> str:
        """Return all figures, including those that are in no table."""
        return json.dumps(asdict(self), indent=1)

    def lines(self) -> Iterator[str]:
        """Return the tables in Markdown."""
        yield f"Measured on {self.date}: {self.machine}. The minimum of {self.rounds} rounds,"
        yield "in microseconds of CPU time per call."
        yield ""
        yield ", ".join(f"{name} {version}" for name, version in self.versions.items()) + "."
        yield from ["", "### The server", "", *self._steps("server", SERVER)]
        yield from ["", "### The client", "", *self._steps("client", CLIENT)]
        yield from ["", "### Real processes, by thread", "", *self._threads()]

    def _steps(self, side: str, lines: Iterable[Line]) -> list[str]:
        columns = {name: build[side] for name, build in self.builds.items()}
        rows = [[line.words, line.code, *map(line.text, columns.values())] for line in lines]
        return _table(["one call", "where", *columns], rows, words=2)

    def _threads(self) -> list[str]:
        columns = {
            f"{side}, {name}": of_process(side, build)
            for side in SIDES
            for name, build in self.builds.items()
        }
        rows = [[line.words, *map(line.text, columns.values())] for line in THREADS]
        return _table(["one call of 64 in flight", *columns], rows, words=1)


def _table(heads: list[str], rows: list[list[str]], *, words: int) -> list[str]:
    """Return a table; all columns except the first ``words`` are figures."""
    rule = ["---"] * words + ["---:"] * (len(heads) - words)
    return [f"| {' | '.join(row)} |" for row in (heads, rule, *rows)]
