"""Measuring: rounds, in which the entrants take turns, in reversed order every other time."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Final

from .environments import Unavailable
from .process import Died

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .contests import Contest, Entrant
    from .environments import Environments
    from .peers.orders import Order
    from .process import Process
    from .target import Running

__all__ = ["Effort", "Figures", "Outcome", "in_turn", "measure"]

#: Seconds for an answer beyond those that were ordered: thousands of connections are made.
PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Effort:
    """How much to measure: rounds, and the seconds of each order, before and during it."""

    rounds: int
    seconds: float
    warm_up: float


@dataclass(frozen=True)
class Figures:
    """One entrant in one round: CPU in us a call, memory in KiB at the end of the round."""

    rate: float
    p50_us: float
    p99_us: float
    server_us: float
    client_us: float
    server_kib: int
    server_peak_kib: int
    client_peak_kib: int


@dataclass(frozen=True)
class Outcome:
    """What an entrant came to: figures of every round, or none, and why."""

    rounds: tuple[Figures, ...] = ()
    absent: str = ""

    @property
    def rate(self) -> float:
        """Calls a second, the median of the rounds; 0 if none were made."""
        return median(figures.rate for figures in self.rounds) if self.rounds else 0.0


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """Return who comes when in round ``number``: what drifts must favour nobody."""
    return list(names if number % 2 == 0 else reversed(names))


def measure(
    contest: Contest, effort: Effort, environments: Environments, say: Callable[[str], None]
) -> dict[str, Outcome]:
    """Hold a contest; who fails in any round is out of it, and the others go on."""
    entrants = {entrant.name: entrant for entrant in contest.entrants}
    absent: dict[str, str] = {}
    rounds: dict[str, list[Figures]] = {name: [] for name in entrants}
    with ExitStack() as stack:
        running = _start(stack, entrants, environments, absent)
        for number in range(effort.rounds):
            say(f"{contest.name}, round {number + 1} of {effort.rounds}")
            for name in in_turn(list(running), number):
                try:
                    rounds[name].append(_measure(running[name], entrants[name].order, effort))
                except Died as error:
                    absent[name] = str(error)
                    del running[name]
    return {
        name: Outcome(absent=absent[name]) if name in absent else Outcome(tuple(rounds[name]))
        for name in entrants
    }


def _start(
    stack: ExitStack,
    entrants: dict[str, Entrant],
    environments: Environments,
    absent: dict[str, str],
) -> dict[str, Running]:
    """Start all, several at a time; say of who does not start why."""
    running = {}
    with ThreadPoolExecutor(4) as pool:
        futures = {
            name: pool.submit(entrant.target.start, environments)
            for name, entrant in entrants.items()
        }
    for name, future in futures.items():
        try:
            running[name] = stack.enter_context(future.result())
        except (Unavailable, Died) as error:
            absent[name] = str(error)
    return running


def _measure(running: Running, order: Order, effort: Effort) -> Figures:
    """Order the warm-up, then the work, and see what the work has cost."""
    _ask(running.client, replace(order, seconds=effort.warm_up))
    before = _cpu(running)
    answer = _ask(running.client, replace(order, seconds=effort.seconds))
    after = _cpu(running)
    memory = [server.memory() for server in running.servers]
    calls = answer["calls"] or 1  # of who is ordered none, nothing but memory is of interest
    return Figures(
        rate=answer["calls"] / answer["seconds"],
        p50_us=answer["p50"] * 1e6,
        p99_us=answer["p99"] * 1e6,
        server_us=(after[0] - before[0]) / calls * 1e6,
        client_us=(after[1] - before[1]) / calls * 1e6,
        server_kib=sum(now for now, _ in memory),
        server_peak_kib=sum(peak for _, peak in memory),
        client_peak_kib=running.client.memory()[1],
    )


def _ask(client: Process, order: Order) -> dict[str, float]:
    answer = json.loads(client.ask(order.write(), order.seconds + PATIENCE))
    assert isinstance(answer, dict)
    return answer


def _cpu(running: Running) -> tuple[float, float]:
    servers = sum(server.cpu_seconds() for server in running.servers)
    return servers, running.client.cpu_seconds()
