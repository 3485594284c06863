"""The brokers of a client: links, which can be added and removed, and the limits of each."""

from __future__ import annotations

from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Final, final

from ..bounds import find_oversize_part
from ..messages import Response, problem
from ..wire.items import DEFAULT_TAKES
from .links import Link, LinkState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..wire.items import Takes
    from .links import Pending

__all__ = ["BrokerLimits", "Links"]

#: Seconds of silence after which a broker counts as busy: new calls go to another broker, if there
#: is one that is not busy.
BUSY: Final = 3.0


@final
class Links:
    """The links of one client, which can be added and removed.

    A link that was removed receives no more calls. It is *leaving* until the calls that were sent
    on it have ended: it keeps its connection, and makes another one if that is lost.
    """

    def __init__(self, endpoints: Iterable[str], secret: str, now: float) -> None:
        #: Links that accept calls, in order of preference.
        self.taking: list[Link] = []
        self.leaving: list[Link] = []
        self._secret = secret
        self._numbers = count()
        for endpoint in endpoints:
            self.add(endpoint, now)

    def add(self, endpoint: str, now: float) -> Link:
        """Return the link to ``endpoint``; create one if there is none."""
        for link in self.taking:
            if link.endpoint == endpoint:
                return link
        link = Link(endpoint, f"{self._secret}-{next(self._numbers)}", heard_at=now)
        self.taking.append(link)
        return link

    def remove(self, link: Link) -> None:
        """Let ``link`` leave."""
        self.taking.remove(link)
        self.leaving.append(link)

    def take_left(self) -> list[Link]:
        """Remove and return the leaving links without calls."""
        left = [link for link in self.leaving if not link.in_flight]
        self.leaving = [link for link in self.leaving if link.in_flight]
        return left

    def all(self) -> list[Link]:
        """Return all links."""
        return [*self.taking, *self.leaving]

    def usable(self, now: float) -> Link | None:
        """Return the link for the next call, if there is one."""
        for link in self.taking:
            if link.has_room and now - link.heard_at <= BUSY:
                return link
        ready = [link for link in self.taking if link.has_room]
        return max(ready, key=attrgetter("heard_at")) if ready else None

    @property
    def in_flight(self) -> int:
        """The number of calls that have been sent and have not ended."""
        return sum(len(link.in_flight) for link in self.all())

    @property
    def have_room(self) -> bool:
        """Whether a call may be sent now."""
        return any(link.has_room for link in self.taking)

    @property
    def are_connected(self) -> bool:
        """Whether a broker has responded to our hello, and accepts calls."""
        return any(link.state is LinkState.READY for link in self.taking)

    @property
    def are_refused(self) -> bool:
        """Whether every broker has refused us."""
        return bool(self.taking) and all(link.state is LinkState.REFUSED for link in self.taking)

    @property
    def endpoints(self) -> str:
        """The endpoints, for messages."""
        return ", ".join(link.endpoint for link in self.taking) or "no endpoint"


#: Seconds from the start of the client for which a call that exceeds the default limits waits for a
#: broker with higher limits.
PATIENCE: Final = 1.0


@final
class BrokerLimits:
    """Refuses calls that a broker would refuse, or close the connection for, before sending them.

    A broker announces its limits in its hello. A client that has never received one waits for it
    for a moment, and then assumes the default limits.
    """

    def __init__(self, links: Sequence[Link], *, now: float) -> None:
        #: The latest time for the call of `assume`.
        self.assumed_at = now + PATIENCE
        self._links = links
        self._assumed: tuple[Takes, ...] = ()

    def assume(self, now: float) -> bool:
        """Process the time; return whether the default limits apply from now on."""
        if now < self.assumed_at:
            return False
        self.assumed_at = float("inf")
        self._assumed = (DEFAULT_TAKES,)
        return True

    def fits(self, pending: Pending, link: Link) -> bool:
        """Return whether the broker at ``link`` accepts a call of this size."""
        return pending.weight <= link.small or self.refusal(pending, link) is None

    def refusal(self, pending: Pending, link: Link | None) -> Response | None:
        """Return the response to a call that is too large for ``link``, or for all if None."""
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
