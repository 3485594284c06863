"""The interface through which a Trio client sends its calls: connections, or a local broker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .links import Pending

__all__ = ["Carrier"]


class Carrier(ABC):
    """Accepts calls, and ends each once, with `Pending.tell`. All methods are synchronous."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether a broker has responded and has not been lost since."""

    @abstractmethod
    def submit(self, pending: Pending, now: float) -> None:
        """Start a call. It ends once: ``pending.waiter`` is called, unless it is cancelled.

        Raises:
          Overloaded: if too many calls are already waiting in this client.
          Unreachable: if no broker here supports our version.
          trio.ClosedResourceError: if the client was closed.

        """

    @abstractmethod
    def submit_many(self, pendings: Sequence[Pending], now: float) -> None:
        """Start calls that belong together: none is sent before all have been accepted.

        Raises: the same as `submit`; then the caller must `cancel` those before.

        """

    @abstractmethod
    def grant(self, pending: Pending, more: int) -> None:
        """Let the sender of a streamed response send ``more`` further bytes."""

    @abstractmethod
    def cancel(self, pendings: Sequence[Pending]) -> None:
        """Give calls up; calls that have ended, or were not started, are not changed."""
