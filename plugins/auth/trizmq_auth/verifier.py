"""Token to principal, at the price of a dict look-up."""

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

#: Seconds for which what the file said is believed. A look costs 2 us, a call 16.
LOOK_EVERY: Final = 0.02

#: Tokens that are remembered as verified; then all are forgotten, and verified anew.
REMEMBERED: Final = 4096

#: Compared with when an id is unknown, so that it takes as long as a known one.
NOBODY: Final = Token(id="", digest="0" * 64, principal="")


class Verifier:
    """Knows the tokens of one store, and notices within `LOOK_EVERY` that they changed."""

    # On the system's clock, not Trio's: the file changes in real time, whatever a test's
    # clock says.

    def __init__(self, store: TokenStore) -> None:
        self._store: Final = store
        self._tokens: dict[str, Token] = {}
        self._verified: dict[str, tuple[Token, Principal]] = {}
        self._stamp: Stamp = None
        self._look_again = 0.0

    def verify(self, text: str) -> Principal | None:
        """Return who the token ``text`` stands for; None if it is not valid now."""
        if monotonic() >= self._look_again:
            self._look()
        known = self._verified.get(text) or self._learn(text)
        if known is None or known[0].has_expired(time()):
            return None
        return known[1]

    def _learn(self, text: str) -> tuple[Token, Principal] | None:
        self._look()  # a token that was made a moment ago is good at once
        token = self._tokens.get(text.partition(".")[0], NOBODY)
        if not token.matches(text):
            return None
        if len(self._verified) >= REMEMBERED:
            self._verified.clear()
        self._verified[text] = token, Principal(token.principal, frozenset(token.scopes))
        return self._verified[text]

    def _look(self) -> None:
        self._look_again = monotonic() + LOOK_EVERY
        # The stamp first: what changes after it is read anew at the next look.
        stamp = self._store.stamp()
        if stamp != self._stamp:
            self._stamp = stamp
            self._verified.clear()
            self._tokens = {token.id: token for token in self._read()}

    def _read(self) -> list[Token]:
        try:
            return self._store.tokens()
        except ConfigError as error:
            # Closed, not open: nobody is let in by a file that cannot be read.
            logger.error("no token is valid: %s", error)  # noqa: TRY400 (it says all)
            return []
