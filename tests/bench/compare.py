"""Compare two revisions of trizmq: `nox -s compare -- REVISION`.

Both are installed as users do, compiled if there is a compiler, and take turns at the same work,
so that other work on the machine affects both.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .contests import CONTESTS
from .environments import Environments
from .goals import Range
from .measure import Effort, measure
from .targets import RAW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .contests import Contest, Entrant
    from .measure import Figures, Outcome

BEFORE: Final = ", before"

#: The compared figures: calls a second, and the CPU time of a call on either side.
FIGURES: Final = ("rate", "server_us", "client_us")


def main() -> None:
    options = _options()
    repository = Path(__file__).parents[2]
    old = Old(options.directory.absolute() / options.revision, repository, options.revision)
    old.install()
    effort = Effort(options.rounds, options.seconds, 0.2)
    print("contest | entrant | calls/s | server's CPU | client's CPU   (now / before)", flush=True)
    for contest in _contests(options.only):
        pairs = [entrant for entrant in contest.entrants if _is_ours(entrant)]
        entrants = tuple(each for entrant in pairs for each in (entrant, old.twin(entrant)))
        outcomes = measure(
            replace(contest, entrants=entrants), effort, Environments(options.directory), _ignore
        )
        for line in _lines(contest, pairs, outcomes):
            print(line, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s compare --", description=__doc__)
    parser.add_argument("revision", help="what to compare with, as git names it")
    names = [contest.name for contest in CONTESTS]
    parser.add_argument("--only", nargs="+", choices=names, help="these contests")
    parser.add_argument("--rounds", type=int, default=12, help="how often each has its turn")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long a turn is")
    parser.add_argument("--directory", type=Path, default=Path(".nox/compare"), metavar="DIR")
    return parser.parse_args()


def _contests(names: Sequence[str] | None) -> Iterator[Contest]:
    """Yield the selected contests, except those of idle servers, which have no rate."""
    for contest in CONTESTS:
        if contest.name in names if names else contest.is_quick and contest.name != "idle":
            yield contest


def _is_ours(entrant: Entrant) -> bool:
    return (
        not entrant.target.packages and entrant.target is not RAW and bool(entrant.target.servers)
    )


class Old:
    """Another revision, in a separate environment and directory."""

    def __init__(self, home: Path, repository: Path, revision: str) -> None:
        self._home = home
        self._repository = repository
        self._revision = revision

    def install(self) -> None:
        """Check out and install the revision, unless it is already there."""
        done = self._home / "installed"
        commit = _run(["git", "rev-parse", self._revision], self._repository).strip()
        if done.is_file() and done.read_text() == commit:
            return
        venv.create(self._home / "venv", clear=True, with_pip=True)
        source = self._home / "source"
        source.mkdir(exist_ok=True)
        archive = self._home / "source.tar"
        _run(["git", "archive", "-o", str(archive), commit], self._repository)
        _run(["tar", "-xf", str(archive), "-C", str(source)], self._home)
        plugins = ["./plugins/users", "./plugins/auth"]
        _run([self._python, "-m", "pip", "install", "--quiet", ".", *plugins], source)
        done.write_text(commit)

    @property
    def _python(self) -> str:
        return str(self._home / "venv" / "bin" / "python")

    def twin(self, entrant: Entrant) -> Entrant:
        """Return the same work for this revision, with the client of that revision."""
        directory = self._home / "source" / "tests" / "bench"
        target = replace(entrant.target, interpreter=self._python, directory=directory)
        return replace(entrant, name=entrant.name + BEFORE, target=target)


def _run(command: Sequence[str], directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _lines(
    contest: Contest, entrants: Sequence[Entrant], outcomes: dict[str, Outcome]
) -> Iterator[str]:
    for entrant in entrants:
        now, before = outcomes[entrant.name], outcomes[entrant.name + BEFORE]
        if absent := now.absent or before.absent:
            yield f"{contest.name} | {entrant.name} | not available: {absent}"
        else:
            cells = (_ratio(now.rounds, before.rounds, figure) for figure in FIGURES)
            yield " | ".join((contest.name, entrant.name, *cells))


def _ratio(now: Sequence[Figures], before: Sequence[Figures], figure: str) -> str:
    """Return the ratio of a figure, round by round: median and range."""
    pairs = zip(now, before, strict=True)
    ratios = Range.of([getattr(a, figure) / (getattr(b, figure) or 1) for a, b in pairs])
    return f"{ratios.median:.3f} ({ratios.least:.2f} to {ratios.most:.2f})"


def _ignore(_: str) -> None:
    """Ignore the rounds: each entrant has a line of its own."""


if __name__ == "__main__":
    main()
