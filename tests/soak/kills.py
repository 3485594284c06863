"""Workers and brokers that are killed under load, and a handler that blocks the loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .book import Book
from .fleet import TRIZMQ, Fleet, free_port

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["block", "kill"]

RATE: Final = 300
WORKERS: Final = ("worker-1", "worker-2", "worker-3", "worker-4")


def kill(seconds: float, folder: Path) -> Book:
    """Kill one of four workers every 2 s, and the broker every 15 s; restart each immediately."""
    front, back = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    with Fleet(folder) as fleet:
        fleet.broker("broker", "--bind", front, "--backend", back, "--wait", "15")
        for name in WORKERS:
            fleet.worker(name, "--connect", back)
        fleet.call(front, rate=RATE, seconds=seconds)
        _kill_in_turn(fleet, seconds)
        fleet.wait("caller", 40)
        return Book.of(fleet, int(RATE * seconds))


def _kill_in_turn(fleet: Fleet, seconds: float) -> None:
    started, turn = time.monotonic(), 0
    while time.monotonic() < started + seconds - 3:
        time.sleep(2)
        turn += 1
        name = "broker" if turn % 7 == 0 else WORKERS[turn % len(WORKERS)]
        fleet.kill(name)
        fleet.restart(name)


def block(seconds: float, folder: Path, *, every: float = 20) -> Book:
    """Block the loop of `trizmq run`, a single process, for 5 s now and then."""
    bind = f"tcp://127.0.0.1:{free_port()}"
    with Fleet(folder) as fleet:
        fleet.serve("server", "--bind", bind)
        fleet.call(bind, rate=RATE, seconds=seconds)
        started = time.monotonic()
        number = 0
        while time.monotonic() < started + seconds - 6:
            number += 1
            fleet.start(f"blocker-{number}", *_blocking_call(bind))
            time.sleep(every)
        fleet.wait("caller", 40)
        return Book.of(fleet, int(RATE * seconds))


def _blocking_call(bind: str) -> tuple[str, ...]:
    return (*TRIZMQ, "call", "GET", "/soak/block/5", "--connect", bind)
