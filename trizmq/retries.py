"""A budget for retries, so that they cannot feed an overload."""

from __future__ import annotations

from typing import Final, final

__all__ = ["MAX_ATTEMPTS", "RetryBudget"]

#: The maximum number of times that an idempotent call is sent (promise P4).
MAX_ATTEMPTS: Final = 3


@final
class RetryBudget:
    """A token bucket (promise P4): a failure takes one token, ten successes return one.

    If it is half empty, more calls fail than succeed, and nothing is retried.
    """

    FULL = 10.0
    RESERVE = 5.0
    EARNED = 0.1

    def __init__(self) -> None:
        self._tokens = self.FULL

    def succeed(self) -> None:
        """Record a call that got a response."""
        if self._tokens < self.FULL:
            self._tokens = min(self.FULL, self._tokens + self.EARNED)

    def fail(self) -> bool:
        """Record the loss of calls; return whether to retry them."""
        self._tokens = max(0.0, self._tokens - 1)
        return self._tokens > self.RESERVE
