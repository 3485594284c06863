"""The mean duration of calls, for each service and for each of its routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..calls import Work

__all__ = ["Estimate", "Estimates"]


#: The number of finished calls after which the mean counts as an estimate.
KNOWN: Final = 8

#: The weight of one finished call in the mean.
WEIGHT: Final = 0.1

#: The maximum number of routes of a service that have their own estimates.
MOST: Final = 256


@final
class Estimate:
    """A moving mean, in which older values count less."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.count = 0
        #: Whether there were enough calls for an estimate.
        self.is_known = False

    def add(self, seconds: float) -> None:
        """Add the duration of a finished call."""
        self.count += 1
        self.is_known = self.count >= KNOWN
        self.seconds += (seconds - self.seconds) * max(WEIGHT, 1 / self.count)


@final
class Estimates:
    """The mean durations of one service: of all its calls, and of each route.

    The broker does not match routes. It distinguishes them by the method and the segments of
    the path, where each segment that is not a literal of any route of a worker counts as a
    parameter. A service of MDP workers, which announce no routes, has only one.
    """

    def __init__(self) -> None:
        self.whole = Estimate()
        self._routes: dict[str, Estimate] = {}
        self._literals: frozenset[str] = frozenset()
        self._has_routes = False

    def note_routes(self, service: str, routes: Sequence[str]) -> None:
        """Record the routes of a new worker, like ``"GET /users/{user_id:int}"``."""
        paths = [route.partition(" ")[2].split("/")[1:] for route in routes[:MOST]]
        own = [path for path in paths if path[:1] == [service]]
        self._has_routes = bool(own)
        self._literals = frozenset(
            segment for path in own for segment in path[1:] if "{" not in segment
        )

    def _route(self, call: Work) -> str:
        segments = call.target.partition("?")[0].split("/", 8)[2:]
        shape = [segment if segment in self._literals else "*" for segment in segments]
        return f"{call.method} {'/'.join(shape)}"

    def add(self, call: Work, seconds: float, *, was_stopped: bool) -> None:
        """Add a finished call that its worker had for ``seconds``.

        ``was_stopped``: whether it was stopped; it would have taken longer.
        """
        estimates = [self.whole]
        if self._has_routes:
            route = self._route(call)
            if route not in self._routes and len(self._routes) < MOST:
                self._routes[route] = Estimate()
            estimates.append(self._routes.get(route, self.whole))
        for estimate in dict.fromkeys(estimates):
            if not was_stopped or seconds > estimate.seconds:
                estimate.add(seconds)

    def usual(self, call: Work) -> float:
        """Return the estimated duration of a call in seconds; 0 if it is not known."""
        estimate = self._routes.get(self._route(call)) if self._has_routes else self.whole
        return estimate.seconds if estimate is not None and estimate.is_known else 0.0
