"""The fate of calls whose connection has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..errors import Unreachable
from ..retries import MAX_ATTEMPTS
from ..wire.items import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..retries import RetryBudget
    from ..wire.items import Hello
    from .links import Link, Pending, WaitingCalls

__all__ = ["Recovery"]


@final
class Recovery:
    """Decides about a call as soon as something is known. Until then it stays at its link.

    ==============================================  ==================  =====================
    known fact                                      idempotent          plain
    ==============================================  ==================  =====================
    it has not left this process                    waits again         waits again
    the broker, still alive, has not processed it   waits again         waits again
    the broker, still alive, is handling it         stays               stays
    the broker, still alive, has lost its response  another broker,     Unreachable, "maybe"
                                                    or Unreachable
    the broker is unreachable now                   another broker,     stays
                                                    or stays
    the broker has ended                            waits again         Unreachable, "maybe"
    ==============================================  ==================  =====================

    As a result, no call is sent twice to the same run of a broker. If the call may have been
    executed, "another broker" and "waits again" cost an attempt, and are subject to the retry
    budget (promise P4).
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
        """Remove the calls from ``link.outgoing``, and let them wait again."""
        ids = [item.id for item in link.outgoing if isinstance(item, Call)]
        link.outgoing[:] = [item for item in link.outgoing if not isinstance(item, Call)]
        self._take_back(link, [one for one in ids if one in link.in_flight])

    def take_unseen(self, link: Link, seen: int) -> None:
        """Let calls with ids above ``seen`` wait again: the broker has not processed them."""
        self._take_back(link, [one for one in link.in_flight if one > seen])

    def _take_back(self, link: Link, ids: Iterable[int]) -> None:
        pendings = [link.in_flight.pop(one) for one in ids]
        for pending in pendings:
            pending.link = pending.parts = None
            pending.attempts -= 1
        self._waiting.put_back(pendings)

    def resume(self, link: Link, hello: Hello, links: Sequence[Link], now: float) -> None:
        """Continue with the broker that still has our calls."""
        self.take_unseen(link, hello.seen)
        lost = [link.in_flight[one] for one in hello.lost if one in link.in_flight]
        self.fail_over(link, lost, links, now)
        for pending in lost:
            if pending.link is link and not pending.ended:
                self._give_up(pending, link)

    def fail_over(
        self, link: Link, pendings: Iterable[Pending], links: Sequence[Link], now: float
    ) -> None:
        """Send the idempotent calls in ``pendings`` to another broker, if one is ready."""
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
        """Handle the end of the broker that had our calls."""
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
