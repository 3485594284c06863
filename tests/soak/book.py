"""The comparison of calls, their outcomes, and the executions that handlers logged."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .fleet import Fleet, Loss

__all__ = ["Book", "Execution"]


class Execution(NamedTuple):
    """The start of a call in a handler."""

    call_id: str
    pid: int
    at: float


@final
@dataclass(frozen=True)
class Book:
    """One run. ``outcomes`` are the caller's lines, ``executions`` the handlers'."""

    attempted: int
    deadline: float
    outcomes: Sequence[dict[str, Any]]
    executions: dict[str, list[Execution]]
    losses: Sequence[Loss]

    @classmethod
    def of(cls, fleet: Fleet, attempted: int, deadline: float = 20) -> Book:
        """Read the logs of a fleet."""
        outcomes = [json.loads(line) for line in fleet.outcomes.read_text().splitlines()]
        executions = defaultdict(list)
        for line in fleet.executions.read_text().splitlines():
            call_id, pid, at = line.split()
            executions[call_id].append(Execution(call_id, int(pid), float(at)))
        return cls(attempted, deadline, outcomes, dict(executions), fleet.losses)

    def faults(self) -> list[str]:
        """Return every violated guarantee; a run must have none."""
        found = []
        if self.attempted != len(self.outcomes):
            found.append(f"{self.attempted} calls were made, {len(self.outcomes)} have ended")
        for outcome in self.outcomes:
            found += self._faults_of(outcome, self.executions.get(outcome["id"], []))
        return found

    def _faults_of(self, outcome: dict[str, Any], done: list[Execution]) -> list[str]:
        call_id, found = outcome["id"], []
        if outcome["end"] - outcome["start"] > self.deadline + 1:
            found.append(f"{call_id}: ended after its deadline")
        if not outcome.get("right", True):
            found.append(f"{call_id}: got the response of another call")
        if outcome["executed"] == "yes" and not done:
            found.append(f"{call_id}: answered, and no handler had it")
        if outcome["executed"] == "no" and done:
            found.append(f"{call_id}: executed, though {outcome['kind']} denies it")
        if outcome["method"] == "POST" and len(done) > 1:
            found.append(f"{call_id}: a plain call was executed {len(done)} times")
        if outcome["method"] == "GET":
            found += self._needless_repeats(call_id, done)
        return found

    def _needless_repeats(self, call_id: str, done: list[Execution]) -> list[str]:
        """Return repeats without a matching loss of the worker, or of a broker in between."""
        return [
            f"{call_id}: executed again, and nothing that held it was lost"
            for first, second in pairwise(done)
            if not any(
                loss.began <= second.at
                and first.at <= loss.ended
                and (loss.pid == first.pid or not loss.name.startswith("worker"))
                for loss in self.losses
            )
        ]

    def counts(self, method: str) -> Counter[str]:
        """Return how often the calls of ``method`` ended in each way."""
        return Counter(
            outcome["kind"] if outcome["executed"] == "yes" else _named(outcome)
            for outcome in self.outcomes
            if outcome["method"] == method
        )

    def slowest(self) -> float:
        """Return the duration of the slowest call, in seconds."""
        return max(outcome["end"] - outcome["start"] for outcome in self.outcomes)


def _named(outcome: dict[str, Any]) -> str:
    return f"{outcome['kind']} {outcome['executed']}"
