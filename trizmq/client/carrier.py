"""What a client in Trio sends its calls by: connections to brokers, or a broker beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .links import Pending

__all__ = ["Carrier"]


class Carrier(ABC):
    """Takes calls, and ends each once, by `Pending.tell`. All its methods are synchronous."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether a broker has answered, and has not been lost since."""

    @abstractmethod
    def submit(self, pending: Pending, now: float) -> None:
        """Start a call. It ends once: ``pending.waiter`` is called, unless it is given up.

        Raises:
          Overloaded: too many calls wait in this client already.
          Unreachable: no broker here speaks our version.
          trio.ClosedResourceError: the client was closed.

        """

    @abstractmethod
    def submit_many(self, pendings: Sequence[Pending], now: float) -> None:
        """Start calls that belong together: none is sent before all are taken in.

        Raises: the same as `submit`; then those before have to be given up (`cancel`).

        """

    @abstractmethod
    def cancel(self, pendings: Sequence[Pending]) -> None:
        """Give calls up; those that have ended, or were not started, are left as they are."""
