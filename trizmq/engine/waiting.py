"""The calls that wait in a client, for a broker or for room at one."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from ..wire.items import frames_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .links import Pending

__all__ = ["MAX_WAITING", "MAX_WAITING_BYTES", "WaitingCalls"]

#: How many calls may wait, and how large their bodies may be together.
MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024


@final
class WaitingCalls:
    """A queue, in the order in which the calls came, that a call can leave from anywhere."""

    def __init__(self) -> None:
        # An OrderedDict finds its first at once, however many before it have left.
        self._calls: OrderedDict[Pending, None] = OrderedDict()
        self.bytes = 0

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self._calls)

    @property
    def is_full(self) -> bool:
        """Whether no further call may come; those that waited before may come back."""
        return len(self._calls) >= MAX_WAITING or self.bytes > MAX_WAITING_BYTES

    def push(self, pending: Pending) -> None:
        """Put ``pending`` at the end."""
        self._calls[pending] = None
        self.bytes += _body_size(pending)

    def put_back(self, pendings: Sequence[Pending]) -> None:
        """Put calls that were sent, in their order, before those that were not."""
        for pending in reversed(pendings):
            self.push(pending)
            self._calls.move_to_end(pending, last=False)

    def pop(self) -> Pending:
        """Take the first."""
        pending, _ = self._calls.popitem(last=False)
        self.bytes -= _body_size(pending)
        return pending

    def has(self, pending: Pending) -> bool:
        """Tell whether ``pending`` waits here."""
        return pending in self._calls

    def leave(self, pending: Pending) -> bool:
        """Take out ``pending``; return whether it was here."""
        if pending not in self._calls:
            return False
        del self._calls[pending]
        self.bytes -= _body_size(pending)
        return True

    def all(self) -> list[Pending]:
        """Return all that wait."""
        return list(self._calls)


def _body_size(pending: Pending) -> int:
    return sum(map(len, frames_of(pending.body)))
