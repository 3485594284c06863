"""How much a client may try again: a budget, so that retries cannot feed an overload."""

from __future__ import annotations

from typing import Final, final

__all__ = ["MAX_ATTEMPTS", "RetryBudget"]


#: How often an idempotent call is sent, in all (promise P4).
MAX_ATTEMPTS: Final = 3


@final
class RetryBudget:
    """A token bucket (promise P4): a failure takes one, ten successes give one back.

    Half-empty means that more fails than succeeds: then nothing is tried again.
    """

    FULL = 10.0
    RESERVE = 5.0
    EARNED = 0.1

    def __init__(self) -> None:
        self._tokens = self.FULL

    def succeed(self) -> None:
        """Be told that a call was answered."""
        if self._tokens < self.FULL:
            self._tokens = min(self.FULL, self._tokens + self.EARNED)

    def fail(self) -> bool:
        """Be told that calls were lost with a broker; return whether to try them again."""
        self._tokens = max(0.0, self._tokens - 1)
        return self._tokens > self.RESERVE
