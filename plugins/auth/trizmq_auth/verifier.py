"""Verification of tokens at the cost of a dict lookup."""

from __future__ import annotations

import logging
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from trizmq import ConfigError, Principal

from .store import Token

if TYPE_CHECKING:
    from .store import Stamp, TokenStore

__all__ = ["LOOK_EVERY", "Verifier"]

logger = logging.getLogger("trizmq.auth")

#: Seconds between checks of the file. A check costs 2 us, a call 16.
LOOK_EVERY: Final = 0.02

#: The number of verified tokens to remember; beyond it, all are forgotten and verified again.
REMEMBERED: Final = 4096

#: Compared with tokens that have an unknown id, so that they take as long as known ones.
UNREACHABLE: Final = Token(id="", digest="0" * 64, principal="")


class Verifier:
    """Keeps the tokens of one store in memory, and detects changes within `LOOK_EVERY`."""

    # Uses the system's clock, not Trio's: the file changes in real time, whatever the clock of a
    # test does.

    def __init__(self, store: TokenStore) -> None:
        self._store: Final = store
        self._tokens: dict[str, Token] = {}
        self._verified: dict[str, tuple[Token, Principal]] = {}
        self._stamp: Stamp = None
        self._look_again = 0.0

    def verify(self, text: str) -> Principal | None:
        """Return the principal of the token ``text``, or None if it is not valid now."""
        if monotonic() >= self._look_again:
            self._look()
        known = self._verified.get(text) or self._learn(text)
        if known is None or known[0].has_expired(time()):
            return None
        return known[1]

    def _learn(self, text: str) -> tuple[Token, Principal] | None:
        self._look()  # a new token is valid immediately
        token = self._tokens.get(text.partition(".")[0], UNREACHABLE)
        if not token.matches(text):
            return None
        if len(self._verified) >= REMEMBERED:
            self._verified.clear()
        self._verified[text] = token, Principal(token.principal, frozenset(token.scopes))
        return self._verified[text]

    def _look(self) -> None:
        self._look_again = monotonic() + LOOK_EVERY
        # Read the stamp first: changes after it are found at the next check.
        stamp = self._store.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._verified.clear()
            self._tokens = {token.id: token for token in self._read()}

    def _read(self) -> list[Token]:
        try:
            return self._store.tokens()
        except ConfigError as error:
            # Fail closed: an unreadable file lets no caller in.
            logger.error("no token is valid: %s", error)  # noqa: TRY400 (the text is enough)
            return []
