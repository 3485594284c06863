"""The maximum memory of a server for peers that do not read."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from .fleet import Fleet, free_port

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["hoard", "pile_up"]

MIB = 1024 * 1024

#: Seconds in which the peaks are measured.
WATCHED = 12.0


def hoard(dialect: str, folder: Path, *, count: int = 2500) -> float:
    """Request this many responses of 1 MB, read none; return the server's peak in MiB."""
    bind = f"tcp://127.0.0.1:{free_port()}"
    with Fleet(folder) as fleet:
        fleet.serve("server", "--bind", bind)
        fleet.call(bind, rate=10, seconds=WATCHED)
        fleet.start("hoarder", sys.executable, "-m", "hoarder", bind, dialect, str(count))
        return _peak(fleet, "server")


def pile_up(
    folder: Path,
    dialect: str = "native",
    *,
    count: int = 100,
    size: int = 10 * MIB,
    with_hoarder: bool = False,
) -> float:
    """Send this many bodies to stopped workers; return the broker's peak in MiB.

    With a hoarder, a client that does not read has requested 2,500 responses of 1 MB before.
    """
    front, back = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    with Fleet(folder) as fleet:
        fleet.broker("broker", "--bind", front, "--backend", back, "--wait", "15")
        fleet.worker("worker", "--connect", back, "--dialect", dialect)
        fleet.call(front, rate=1, seconds=1)
        fleet.wait("caller", 10)
        peak = 0.0
        if with_hoarder:
            fleet.start("hoarder", sys.executable, "-m", "hoarder", front, "native", "2500")
            peak = _peak(fleet, "broker", 2)
        fleet.stop("worker")
        sizes = map(str, (count, size, 10))
        fleet.start("sender", sys.executable, "-m", "sender", front, *sizes)
        peak = max(peak, _peak(fleet, "broker"))
        fleet.resume("worker")
        return peak


def _peak(fleet: Fleet, name: str, seconds: float = WATCHED) -> float:
    end, peak = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        peak = max(peak, fleet.memory(name))
        time.sleep(0.05)
    return peak
