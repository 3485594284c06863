"""What a client knows of its brokers' limits, and the calls that are over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..messages import Response, problem
from ..wire.items import DEFAULT_TAKES
from .bounds import find_oversize_part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..wire.items import Takes
    from .links import Link, Pending

__all__ = ["BrokerLimits"]

#: How long a call that is over the default limits waits for a broker that takes more, in
#: seconds from the client's start.
PATIENCE: Final = 1.0


@final
class BrokerLimits:
    """Refuses before it is sent what a broker would refuse, or drop the connection for.

    A broker tells its limits in its hello. A client that has never heard one waits for it a
    moment, then assumes the default limits.
    """

    def __init__(self, links: Sequence[Link], *, now: float) -> None:
        #: When to call `assume`, at the latest.
        self.assumed_at = now + PATIENCE
        self._links = links
        self._assumed: tuple[Takes, ...] = ()

    def assume(self, now: float) -> bool:
        """Let time pass; tell whether the default limits hold from now on."""
        if now < self.assumed_at:
            return False
        self.assumed_at = float("inf")
        self._assumed = (DEFAULT_TAKES,)
        return True

    def fits(self, pending: Pending, link: Link) -> bool:
        """Tell whether the broker at ``link`` takes a call so large."""
        return pending.weight <= link.small or self.refusal(pending, link) is None

    def refusal(self, pending: Pending, link: Link | None) -> Response | None:
        """Return the answer to a call that is too large for ``link``, or, without one, for all."""
        oversize: tuple[int, str] | None = None
        for limits in self._known(link):
            oversize = find_oversize_part(
                pending.method, pending.target, pending.headers, pending.body, limits
            )
            if oversize is None:
                return None
        return problem(*oversize, executed="no") if oversize else None

    def _known(self, link: Link | None) -> Sequence[Takes]:
        if link is not None:
            return (link.limits or DEFAULT_TAKES,)
        return [link.limits for link in self._links if link.limits] or self._assumed
