"""Overload: how many calls are served in time, and how soon the others are refused.

One server of capacity 4, whose calls take 20 ms: 200 a second.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from .fleet import TRIZMQ, Fleet, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["flood", "overload", "tables"]

#: The maximum number of calls served in a second.
CAPACITY: Final = 200

FLOODER: Final = (sys.executable, "-m", "flooder")


def overload(
    folder: Path, dialect: str, load: float, deadline: float, seconds: float
) -> dict[str, Any]:
    """Call at ``load`` times the maximum rate; return the flooder's report."""
    with _server(folder) as (fleet, bind):
        rate = str(load * CAPACITY)
        fleet.start("flooder", *FLOODER, bind, dialect, rate, str(seconds), str(deadline))
        fleet.wait("flooder", seconds + deadline + 20)
        report = _report(folder, "flooder")
        report["MiB"] = round(fleet.memory("server"))
    report["goodput"] = round(report["good"] / (CAPACITY * min(1.0, load) * seconds), 3)
    return report


def flood(folder: Path, dialect: str, *, envelopes: int = 0) -> dict[str, Any]:
    """Flood a server for three seconds; return the report of a polite client after that."""
    with _server(folder) as (fleet, bind):
        fleet.start("flooder", *FLOODER, bind, dialect, "2000", "3", "1", str(envelopes))
        fleet.wait("flooder", 30)
        fleet.start("polite", *FLOODER, bind, "native", "20", "1", "1")
        fleet.wait("polite", 30)
        return _report(folder, "polite")


class _server:
    """A server that runs for the duration of the block."""

    def __init__(self, folder: Path) -> None:
        self._fleet = Fleet(folder)
        self._bind = f"tcp://127.0.0.1:{free_port()}"

    def __enter__(self) -> tuple[Fleet, str]:
        options = ("--plugins=", "-p", "slow", "--bind", self._bind, "--capacity", "4")
        self._fleet.start("server", *TRIZMQ, "run", *options)
        self._fleet.start("first", *FLOODER, self._bind, "native", "20", "2", "5")
        self._fleet.wait("first", 30)
        return self._fleet, self._bind

    def __exit__(self, *exc: Any) -> None:
        self._fleet.__exit__(*exc)


def _report(folder: Path, name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / f"{name}.log").read_text().splitlines()[-1])
    return report


def tables() -> Iterator[tuple[str, float, float]]:
    """Yield what to measure: dialect, load, deadline."""
    for dialect in ("native", "plain", "mdp02"):
        for load in (1.2, 2, 10):
            for deadline in (0.3, 1, 5):
                yield dialect, load, deadline
