"""What becomes of calls whose connection has ended, or that are too large for a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..bounds import find_oversize_part
from ..errors import Unreachable
from ..messages import Response, problem
from ..retries import MAX_ATTEMPTS
from ..wire.items import DEFAULT_TAKES, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..retries import RetryBudget
    from ..wire.items import Hello, Takes
    from .links import Link, Pending, WaitingCalls

__all__ = ["BrokerLimits", "Recovery"]


@final
class Recovery:
    """Decides, as soon as something is known about a call. Until then it stays at its link.

    ==============================================  ==================  =====================
    what is known                                   idempotent          plain
    ==============================================  ==================  =====================
    it has not left this process                    waits again         waits again
    the broker, still alive, has not looked at it   waits again         waits again
    the broker, still alive, has it in hand         stays               stays
    the broker, still alive, has lost its response  another broker,     Unreachable, "maybe"
                                                    or Unreachable
    the broker cannot be reached now                another broker,     stays
                                                    or stays
    the broker has ended                            waits again         Unreachable, "maybe"
    ==============================================  ==================  =====================

    So no call is sent twice to one life of one broker. "Another broker" and "waits again"
    cost an attempt, and are within the retry budget (promise P4), where the call may have been
    executed.
    """

    def __init__(
        self,
        waiting: WaitingCalls,
        budget: RetryBudget,
        end: Callable[[Pending, Unreachable], None],
        send: Callable[[Pending, Link, float], None],
        fits: Callable[[Pending, Link], bool],
    ) -> None:
        self._waiting = waiting
        self._budget = budget
        self._end = end
        self._send = send
        self._fits = fits

    def take_unsent(self, link: Link) -> None:
        """Let the calls wait again that are still in ``link.outgoing``, and empty that."""
        ids = [item.id for item in link.outgoing if isinstance(item, Call)]
        link.outgoing.clear()
        self._take_back(link, [one for one in ids if one in link.in_flight])

    def take_unseen(self, link: Link, seen: int) -> None:
        """Let the calls wait again whose ids are above ``seen``: the broker says so."""
        self._take_back(link, [one for one in link.in_flight if one > seen])

    def _take_back(self, link: Link, ids: Iterable[int]) -> None:
        pendings = [link.in_flight.pop(one) for one in ids]
        for pending in pendings:
            pending.link = pending.parts = None
            pending.attempts -= 1
        self._waiting.put_back(pendings)

    def resume(self, link: Link, hello: Hello, links: Sequence[Link], now: float) -> None:
        """Be greeted again by the broker that has our calls."""
        self.take_unseen(link, hello.seen)
        lost = [link.in_flight[one] for one in hello.lost if one in link.in_flight]
        self.fail_over(link, lost, links, now)
        for pending in lost:
            if pending.link is link and not pending.ended:
                self._give_up(pending, link)

    def fail_over(
        self, link: Link, pendings: Iterable[Pending], links: Sequence[Link], now: float
    ) -> None:
        """Send those of ``pendings`` that are idempotent to another broker, if one is ready."""
        others = [other for other in links if other is not link]
        movable = [one for one in pendings if _may_go_again(one)]
        if not (movable and any(other.has_room for other in others) and self._budget.fail()):
            return
        for pending in movable:
            fitting = (one for one in others if one.has_room and self._fits(pending, one))
            other = next(fitting, None)
            if other is None:
                continue
            del link.in_flight[pending.id]
            pending.parts = None
            self._send(pending, other, now)

    def bury(self, link: Link) -> None:
        """Be told that the broker has ended that had our calls."""
        orphans = list(link.in_flight.values())
        again = bool(orphans) and self._budget.fail()
        waiting = [one for one in orphans if again and _may_go_again(one)]
        for pending in waiting:
            del link.in_flight[pending.id]
            pending.link = pending.parts = None
        self._waiting.put_back(waiting)
        for pending in orphans:
            if pending.link is link:
                self._give_up(pending, link)

    def _give_up(self, pending: Pending, link: Link) -> None:
        lost = f"the connection to {link.endpoint} was lost while the broker there had the call"
        self._end(pending, Unreachable(lost, executed="maybe"))


def _may_go_again(pending: Pending) -> bool:
    return pending.is_idempotent and pending.attempts < MAX_ATTEMPTS


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
