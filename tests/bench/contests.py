"""The contests: targets that are measured side by side, and their work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from .peers.orders import Order
from .targets import BROKER, CHEAP, MANY, MDP, MDP_WORKER, PADDED, PEERS, SLEEPERS, SYNC, TRIZMQ

if TYPE_CHECKING:
    from collections.abc import Collection

    from .target import Target

__all__ = ["CONTESTS", "Contest", "Entrant"]

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True)
class Entrant:
    """A target with its work. ``at`` is its position on the axis of the contest."""

    name: str
    target: Target
    order: Order
    at: int = 0


@dataclass(frozen=True)
class Contest:
    """Entrants that are measured round by round, and their work."""

    name: str
    title: str
    entrants: tuple[Entrant, ...]
    is_quick: bool = False
    #: The quantity that grows, if the entrants are one target at several sizes.
    axis: str = ""

    def among(self, names: Collection[str]) -> Contest:
        """Return the contest with only these entrants."""
        return replace(self, entrants=tuple(e for e in self.entrants if e.name in names))


#: The targets without a plain `get`, and the orders that they have instead.
INSTEAD: Final = {MANY: Order("many", calls_each=16), CHEAP: Order("batch", calls_each=16)}


def _gets(in_flight: int) -> tuple[Entrant, ...]:
    """Return every target that can have this many calls in flight."""
    targets = (TRIZMQ, MANY, CHEAP, SYNC, BROKER, MDP, MDP_WORKER, *PEERS)
    orders = {t: replace(INSTEAD.get(t, Order()), in_flight=in_flight) for t in targets}
    return tuple(Entrant(t.name, t, order) for t, order in orders.items() if order.tasks)


def _echoes(size: int) -> tuple[Entrant, ...]:
    order = Order("echo", in_flight=4, size=size)
    targets = [
        target for target in (TRIZMQ, PADDED, SYNC, BROKER, *PEERS) if "echo" in target.calls
    ]
    return tuple(Entrant(target.name, target, order) for target in targets)


def _connections(count: int) -> tuple[Entrant, ...]:
    order = Order(in_flight=count, connections=count)
    return tuple(Entrant(target.name, target, order) for target in (TRIZMQ, *PEERS))


def _served(target: Target, arguments: str) -> Target:
    """Return ``target`` with arguments added to its first server."""
    return replace(target, servers=(f"{target.servers[0]} {arguments}", *target.servers[1:]))


def _workers(count: int, name: str) -> Entrant:
    target = _served(TRIZMQ, f"--workers {count}")
    return Entrant(name, target, Order("spin", in_flight=16))


def _in_flight(count: int) -> Entrant:
    return Entrant(f"{count:,}", TRIZMQ, Order(in_flight=count), at=count)


def _connected(count: int) -> Entrant:
    return Entrant(f"{count:,}", CHEAP, Order("lone", 64, count), at=count)


def _routes(count: int) -> Entrant:
    target = replace(TRIZMQ, variables={"BENCH_ROUTES": str(count)})
    return Entrant(f"{count:,}", target, Order("route", in_flight=64), at=count)


def _queued(depth: int) -> Entrant:
    """Keep this many calls waiting in the broker, which accepts 1,024 from one connection."""
    target, calls = _served(TRIZMQ, "--capacity 8"), depth + 8
    return Entrant(f"{depth:,}", target, Order("get", calls, 1 + calls // 1000), at=depth)


def _idle(connections: int) -> Entrant:
    order = Order(in_flight=0, connections=connections)
    return Entrant(f"{connections:,} connections", TRIZMQ, order, at=connections)


CONTESTS: Final = (
    Contest("W1", "one call at a time", _gets(1), is_quick=True),
    Contest("W2-64", "64 calls in flight on one connection", _gets(64), is_quick=True),
    Contest("W2-256", "256 calls in flight on one connection", _gets(256)),
    Contest("W3-64KiB", "bodies of 64 KiB both ways, 4 in flight", _echoes(64 * KIB)),
    Contest("W3-1MiB", "bodies of 1 MiB both ways, 4 in flight", _echoes(MIB), is_quick=True),
    Contest("W3-10MiB", "bodies of 10 MiB both ways, 4 in flight", _echoes(10 * MIB)),
    Contest("W4", "1,000 connections with one call each", _connections(1000)),
    Contest(
        "W5",
        "1,000 handlers that sleep 100 ms",
        tuple(
            Entrant(target.name, target, Order("sleep", in_flight=1000))
            for target in (_served(TRIZMQ, "--capacity 1000"), SLEEPERS)
        ),
        is_quick=True,
    ),
    Contest(
        "W6",
        "a handler that computes for 2 ms",
        (_workers(1, "1 worker process"), _workers(2, "2 worker processes")),
        is_quick=True,
    ),
    Contest(
        "in-flight",
        "calls in flight on one connection",
        tuple(map(_in_flight, (8, 64, 256, 1000, 10_000))),
        is_quick=True,
        axis="calls in flight",
    ),
    Contest(
        "connections",
        "connections, 64 calls in flight from a cheap client",
        tuple(map(_connected, (100, 500, 1000, 2000))),
        axis="connections",
    ),
    Contest("routes", "routes", tuple(map(_routes, (10, 100, 1000, 10_000))), axis="routes"),
    Contest(
        "queue",
        "calls that wait in the broker, 8 handled at once",
        tuple(map(_queued, (0, 100, 1000, 8000))),
        axis="calls waiting",
    ),
    Contest("idle", "a server that has nothing to do", (_idle(0), _idle(1000)), is_quick=True),
)
