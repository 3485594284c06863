"""Long runs with real processes, for people: `nox -s soak`, or `nox -s soak -- NAME`."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from . import cuts, hosts, kills, memory, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .book import Book

    Run = tuple[str, Callable[[Path], Book]]


CHOICES = ("all", "kills", "block", "cuts", "memory", "overload")


def runs(name: str, seconds: float) -> Iterator[Run]:
    """Yield the runs of a name: a title for each, and a function that takes a folder."""
    if name in ("all", "kills"):
        yield "workers and the broker killed", partial(kills.kill, seconds)
    if name in ("all", "block"):
        yield "a handler that blocks the loop", partial(kills.block, seconds)
    if name in ("all", "cuts"):
        if reason := hosts.why_not():
            print(f"no cuts: {reason}")
            return
        for mishap in cuts.MISHAPS:
            yield str(mishap), partial(cuts.suffer, mishap)


def _measure_memory() -> None:
    for dialect in ("native", "plain", "mdp02"):
        with TemporaryDirectory() as folder:
            peak = memory.hoard(dialect, Path(folder))
        print(f"a {dialect} client that never reads: the server holds {peak:.0f} MiB", flush=True)
    for dialect, count, size in (
        ("native", 1000, 1),
        ("native", 100, 10),
        ("mdp01", 1000, 1),
        ("mdp02", 100, 10),
    ):
        with TemporaryDirectory() as folder:
            peak = memory.pile_up(Path(folder), dialect, count=count, size=size * memory.MIB)
        what = f"{count} bodies of {size} MiB for a stopped {dialect} worker"
        print(f"{what}: the broker holds {peak:.0f} MiB", flush=True)
    with TemporaryDirectory() as folder:
        peak = memory.pile_up(Path(folder), count=1000, size=memory.MIB, with_hoarder=True)
    print(f"with a client that never reads: the broker holds {peak:.0f} MiB", flush=True)


def _measure_overload() -> None:
    for dialect, load, deadline in overload.tables():
        with TemporaryDirectory() as folder:
            report = overload.overload(Path(folder), dialect, load, deadline, 8)
        print(f"{dialect}, {load} times, deadline {deadline} s: {report}", flush=True)
    for dialect, envelopes in (("native", 0), ("plain", 0), ("plain", 500), ("mdp02", 0)):
        with TemporaryDirectory() as folder:
            report = overload.flood(Path(folder), dialect, envelopes=envelopes)
        print(f"after a flood of {dialect}, {envelopes} envelopes: {report}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s soak --", description=__doc__)
    parser.add_argument("name", nargs="?", default="all", choices=CHOICES)
    parser.add_argument("--seconds", type=float, default=120, help="of kills and blocks")
    options = parser.parse_args()
    if options.name in ("all", "memory"):
        _measure_memory()
    if options.name in ("all", "overload"):
        _measure_overload()
    broken = False
    for title, run in runs(options.name, options.seconds):
        with TemporaryDirectory() as folder:
            book = run(Path(folder))
        faults = book.faults()
        broken |= bool(faults)
        print(f"{title}: {len(book.outcomes)} calls, slowest {book.slowest():.2f} s", flush=True)
        for method in ("GET", "POST"):
            print(f"  {method} {dict(book.counts(method))}", flush=True)
        for fault in faults[:20]:
            print(f"  FAULT {fault}", flush=True)
    sys.exit(broken)


if __name__ == "__main__":
    main()
