"""The calls that wait in a client, for a broker or for room at one."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, final

from ..wire.items import frames_of

if TYPE_CHECKING:
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
        self._calls: OrderedDict[int, Pending] = OrderedDict()
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
        self._calls[pending.id] = pending
        self.bytes += _body_size(pending)

    def pop(self) -> Pending:
        """Take the first."""
        _, pending = self._calls.popitem(last=False)
        self.bytes -= _body_size(pending)
        return pending

    def leave(self, pending: Pending) -> None:
        """Take out ``pending``, if it is here."""
        if self._calls.pop(pending.id, None) is not None:
            self.bytes -= _body_size(pending)

    def all(self) -> list[Pending]:
        """Return all that wait."""
        return list(self._calls.values())


def _body_size(pending: Pending) -> int:
    return sum(map(len, frames_of(pending.body)))
