"""The goals: ratios that must be reached, ratios that are the aim, and the measured values."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .measure import Figures, Outcome

    Results = Mapping[str, Mapping[str, Outcome]]

__all__ = ["GOALS", "Goal", "Range"]


@dataclass(frozen=True)
class Range:
    """The median, minimum and maximum of the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Range:
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Goal:
    """The ratio of one entrant's figure to another's, round by round, in one contest.

    ``must`` and ``aim`` are lower bounds, or upper bounds if ``is_ceiling``. ``form`` formats a
    value.
    """

    words: str
    contest: str
    entrant: str
    other: str
    must: float
    aim: float
    figure: str = "rate"
    is_ceiling: bool = False
    form: str = "{:.0%}"

    def measured(self, results: Results) -> Range | None:
        """Return the measured ratio; None if one of the two was not measured."""
        outcomes = results.get(self.contest, {})
        if not (self.entrant in outcomes and self.other in outcomes):
            return None
        pairs = zip(outcomes[self.entrant].rounds, outcomes[self.other].rounds, strict=False)
        values = [self._value(*pair) for pair in pairs]
        return Range.of(values) if values else None

    def _value(self, figures: Figures, others: Figures) -> float:
        value_of = attrgetter(self.figure)
        return float(value_of(figures) / value_of(others))

    def verdict(self, value: float) -> str:
        """Return the bound that ``value`` reaches, or "missed"."""
        if self._is_met(value, self.aim):
            return "aim"
        return "must" if self._is_met(value, self.must) else "missed"

    def _is_met(self, value: float, bound: float) -> bool:
        return value <= bound if self.is_ceiling else value >= bound


class Amount(Goal):
    """One entrant's memory, in KiB."""

    def _value(self, figures: Figures, others: Figures) -> float:
        del others
        return figures.server_kib


class Growth(Goal):
    """The memory that each of 1,000 connections adds to a server, in KiB."""

    def _value(self, figures: Figures, others: Figures) -> float:
        return (figures.server_kib - others.server_kib) / 1000


def _times(peer: str, must: float, aim: float) -> Goal:
    words = f"64 in flight, calls/s against {peer}"
    return Goal(words, "W2-64", "trizmq", peer, must, aim, form="{:.1f}x")


def _kept(words: str, entrant: str, other: str, must: float, aim: float) -> Goal:
    return Goal(f"64 in flight, calls/s: {words}", "W2-64", entrant, other, must, aim)


GOALS: Final = (
    _times("zerorpc", 25, 44),
    _times("grpcio", 15, 28),
    _times("fastapi", 12, 24),
    _times("starlette", 8, 16),
    _times("nats-py", 5, 9),
    _times("aiozmq", 5, 9),
    _times("rpyc", 4, 7),
    _kept("one await per call, of raw pyzmq's", "trizmq", "raw pyzmq", 0.45, 0.65),
    _kept("call_many, of raw pyzmq's", "trizmq, call_many", "raw pyzmq", 0.8, 1.0),
    _kept("cheap client, of raw pyzmq's", "trizmq, cheap client", "raw pyzmq", 1.1, 1.5),
    _kept("a broker between, of direct", "trizmq, broker between", "trizmq", 0.65, 0.85),
    _kept("MDP 0.2 both ways, of direct", "trizmq, MDP 0.2 both ways", "trizmq", 0.35, 0.5),
    Goal(
        "one at a time, median round trip, of raw pyzmq's",
        "W1",
        "trizmq",
        "raw pyzmq",
        3,
        2,
        figure="p50_us",
        is_ceiling=True,
        form="{:.1f}x",
    ),
    Goal("1 MiB, calls/s of raw pyzmq's, no copy", "W3-1MiB", "trizmq", "raw pyzmq", 0.4, 0.55),
    Goal(
        "1 MiB, calls/s against starlette", "W3-1MiB", "trizmq", "starlette", 2, 3, form="{:.1f}x"
    ),
    Goal(
        "1,000 sleeping handlers, of bare Trio tasks", "W5", "trizmq", "bare Trio tasks", 0.75, 0.9
    ),
    Goal("10,000 in flight, calls/s of those of 64", "in-flight", "10,000", "64", 0.6, 0.8),
    Goal(
        "2,000 connections, server CPU a call, of that of 100",
        "connections",
        "2,000",
        "100",
        1.3,
        1.0,
        figure="server_us",
        is_ceiling=True,
        form="{:.2f}x",
    ),
    Goal(
        "2 worker processes against 1, a handler that computes",
        "W6",
        "2 worker processes",
        "1 worker process",
        1.5,
        1.9,
        form="{:.2f}x",
    ),
    Amount(
        "memory of an idle server",
        "idle",
        "0 connections",
        "0 connections",
        60_000,
        40_000,
        is_ceiling=True,
        form="{:,.0f} KiB",
    ),
    Growth(
        "memory of an idle connection",
        "idle",
        "1,000 connections",
        "0 connections",
        40,
        30,
        is_ceiling=True,
        form="{:.1f} KiB",
    ),
)
