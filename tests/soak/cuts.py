"""Two brokers on separate hosts, one of which is killed, stopped, or cut off."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .book import Book
from .fleet import Fleet
from .hosts import Hosts

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MISHAPS", "Mishap", "suffer"]

RATE: Final = 300
BROKERS: Final = ("broker-a", "broker-b")

#: Seconds of load before a mishap, and after it has ended.
BEFORE: Final = 2.0
AFTER: Final = 6.0

#: Seconds until TCP has sent again what was not acknowledged: its pauses double each time.
AFTERMATH: Final = 2.0


@dataclass(frozen=True)
class Mishap:
    """What happens to one of the two brokers, and for how long."""

    kind: str
    seconds: float
    broker: str

    def __str__(self) -> str:
        return f"{self.broker} {self.kind} {self.seconds:g} s"


KINDS: Final = {
    "cut": ("input", "output"),
    "hears nothing": ("input",),
    "is not heard": ("output",),
}

MISHAPS: Final = tuple(
    Mishap(kind, seconds, broker)
    for broker in BROKERS
    for kind, seconds in (
        ("killed", 1),
        ("stopped", 5),
        *((kind, seconds) for kind in KINDS for seconds in (1, 5, 20)),
    )
)


def suffer(mishap: Mishap, folder: Path) -> Book:
    """Let a mishap happen to a broker while 300 calls a second are made."""
    seconds = BEFORE + mishap.seconds + AFTER
    with Hosts("client", "worker", *BROKERS) as hosts:
        at = {name: hosts.runner(name) for name in BROKERS}
        runners = at | {name: hosts.runner("worker") for name in ("worker-1", "worker-2")}
        with Fleet(folder, runners | {"caller": hosts.runner("client")}) as fleet:
            for name in BROKERS:
                tcp = f"tcp://{hosts.address(name)}"
                fleet.broker(
                    name, "--insecure", "--bind", f"{tcp}:5555", "--backend", f"{tcp}:5556"
                )
            backends = ",".join(f"tcp://{hosts.address(name)}:5556" for name in BROKERS)
            for name in ("worker-1", "worker-2"):
                fleet.worker(name, "--connect", backends)
            fronts = ",".join(f"tcp://{hosts.address(name)}:5555" for name in BROKERS)
            fleet.call(fronts, rate=RATE, seconds=seconds)
            time.sleep(BEFORE)
            _inflict(mishap, fleet, hosts)
            fleet.wait("caller", seconds + 40)
            return Book.of(fleet, int(RATE * seconds))


def _inflict(mishap: Mishap, fleet: Fleet, hosts: Hosts) -> None:
    name = mishap.broker
    with fleet.lost(name, aftermath=AFTERMATH):
        match mishap.kind:
            case "killed":
                fleet.kill(name)
                time.sleep(mishap.seconds)
                fleet.restart(name)
            case "stopped":
                fleet.stop(name)
                time.sleep(mishap.seconds)
                fleet.resume(name)
            case kind:
                hosts.cut(name, *KINDS[kind])
                time.sleep(mishap.seconds)
                hosts.heal(name)
