"""Measuring in rounds: the entrants take turns, and every second round is in reverse order."""

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

#: Seconds for a response in addition to those ordered: thousands of connections are made.
PATIENCE: Final = 60.0


@dataclass(frozen=True)
class Effort:
    """The number of rounds, and the seconds of each order and of its warm-up."""

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
    """The figures of an entrant in every round, or the reason why there are none."""

    rounds: tuple[Figures, ...] = ()
    absent: str = ""

    @property
    def rate(self) -> float:
        """The median of calls a second over the rounds; 0 if there are none."""
        return median(figures.rate for figures in self.rounds) if self.rounds else 0.0


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """Return the order of entrants in round ``number``, so that drift favors none of them."""
    return list(names if number % 2 == 0 else reversed(names))


def measure(
    contest: Contest, effort: Effort, environments: Environments, say: Callable[[str], None]
) -> dict[str, Outcome]:
    """Run a contest; an entrant that fails in any round leaves it, and the others continue."""
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
    """Start all entrants, several at a time; record why any of them does not start."""
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
    """Order the warm-up and then the work, and return the cost of the work."""
    _ask(running.client, replace(order, seconds=effort.warm_up))
    before = _cpu(running)
    answer = _ask(running.client, replace(order, seconds=effort.seconds))
    after = _cpu(running)
    memory = [server.memory() for server in running.servers]
    calls = answer["calls"] or 1  # without calls, only the memory matters
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
