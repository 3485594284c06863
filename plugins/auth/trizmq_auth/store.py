"""The issued tokens, in one file, ``tokens.json``, in the state directory."""

from __future__ import annotations

import secrets
import time
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from trizmq import ConfigError

from .private_files import check_private, locked, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Stamp", "Token", "TokenStore", "digest_of"]

#: The identity of one state of the file: modification time, inode, size.
Stamp: TypeAlias = tuple[int, int, int] | None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A stored token: everything except its secret. Times are in seconds since the epoch."""

    id: str
    digest: str
    principal: str
    scopes: tuple[str, ...] = ()
    created: float = 0.0
    expires: float | None = None

    def matches(self, text: str) -> bool:
        """Return whether ``text`` is this token, in constant time."""
        return compare_digest(self.digest, digest_of(text))

    def has_expired(self, now: float) -> bool:
        """Return whether it has expired."""
        return self.expires is not None and now >= self.expires


def digest_of(text: str) -> str:
    """Return the SHA-256 of a token. The token has 256 random bits, so it needs no salt."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class TokenStore:
    """The token file. Any number of processes can read and change it at the same time.

    It is replaced as a whole, so readers see either the old or the new tokens. Writers hold a
    lock from reading to replacing, so no change is lost.
    """

    def __init__(self, directory: Path) -> None:
        self._path: Final = directory / "tokens.json"
        self._lock: Final = directory / "tokens.lock"

    def stamp(self) -> Stamp:
        """Return a value that changes with the file; None if there is no file."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def tokens(self) -> list[Token]:
        """Return all tokens, the oldest first.

        Raises:
          ConfigError: if the file is damaged or unreadable, or writable for all users.

        """
        try:
            check_private(self._path, "chmod 600")
            check_private(self._path.parent, "chmod 700")
            return msgspec.json.decode(self._path.read_bytes(), type=list[Token])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._path} cannot be read: {error}") from error

    def add(self, principal: str, scopes: Iterable[str], expires: float | None = None) -> str:
        """Create a token and return it; it cannot be retrieved later.

        Raises:
          ConfigError: as in `tokens`.
          OSError: if the file cannot be written; it is unchanged.

        """
        with locked(self._lock):
            check_private(self._path.parent, "chmod 700")
            text, token = _mint(principal, scopes, expires)
            self._replace([*self.tokens(), token])
        return text

    def add_first(
        self, principal: str, scopes: Iterable[str], keep: Callable[[str], object]
    ) -> bool:
        """Create a token if none has ever been created; return whether this was the first.

        ``keep`` is called with the token before it becomes valid: if the process is killed in
        between, the next one starts again.
        """
        if self.stamp() is not None:
            return False
        with locked(self._lock):
            if self.stamp() is not None:  # another process was faster
                return False
            check_private(self._path.parent, "chmod 700")
            text, token = _mint(principal, scopes, None)
            keep(text)
            self._replace([token])
        return True

    def revoke(self, token_id: str) -> bool:
        """Remove the token with this id; return whether it existed."""
        with locked(self._lock):
            before = self.tokens()
            after = [token for token in before if token.id != token_id]
            if after != before:
                self._replace(after)
        return after != before

    def _replace(self, tokens: list[Token]) -> None:
        write_private(self._path, msgspec.json.format(msgspec.json.encode(tokens)))


def _mint(principal: str, scopes: Iterable[str], expires: float | None) -> tuple[str, Token]:
    # Hexadecimal, so that an id never looks like an option: `trizmq token revoke ID`.
    token_id = secrets.token_hex(6)
    text = f"{token_id}.{secrets.token_urlsafe(32)}"
    token = Token(
        id=token_id,
        digest=digest_of(text),
        principal=principal,
        scopes=tuple(scopes),
        created=time.time(),
        expires=expires,
    )
    return text, token
