"""Orders for a client process, each a line of JSON on stdin, and its response on stdout."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class Order:
    """Keep ``in_flight`` calls in flight for ``seconds``, spread over ``connections``.

    ``call`` is the connection's method, which makes ``calls_each`` calls at once, with a
    body of ``size`` bytes if it has one.
    """

    call: str = "get"
    in_flight: int = 1
    connections: int = 1
    size: int = 0
    calls_each: int = 1
    seconds: float = 1.0

    @property
    def tasks(self) -> int:
        return self.in_flight // self.calls_each

    @property
    def arguments(self) -> tuple[bytes, ...]:
        return (b"x" * self.size,) if self.size else ()

    def share(self, connections: list[Any], task: int) -> list[Any]:
        """Return the connections that ``task`` uses in turn."""
        return connections[task % self.connections : self.connections : self.tasks]

    def write(self) -> str:
        return json.dumps(asdict(self))


class Log:
    """The calls made for one order."""

    def __init__(self, order: Order) -> None:
        self.calls_each = order.calls_each
        self.latencies: list[float] = []
        self.began = perf_counter()
        self.ends_at = self.began + order.seconds

    def note(self, began: float) -> None:
        self.latencies.append(perf_counter() - began)

    def answer(self) -> None:
        seconds, latencies = perf_counter() - self.began, sorted(self.latencies) or [0.0]
        answer = {
            "calls": len(self.latencies) * self.calls_each,
            "seconds": seconds,
            "p50": latencies[len(latencies) // 2],
            "p99": latencies[len(latencies) * 99 // 100],
        }
        print(json.dumps(answer), flush=True)


def read_order(line: str) -> Order:
    return Order(**json.loads(line))
