"""The token of the first start, so that a new user needs only two terminals."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from trizmq import local_token_file

from .private_files import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from .store import TokenStore

__all__ = ["ensure_admin", "forget_admin"]

logger = logging.getLogger("trizmq.auth")


def ensure_admin(store: TokenStore, directory: Path) -> None:
    """Create a token with all permissions, if none has ever been created here.

    Once there is a token file, even an empty one, tokens are managed by an administrator: a
    start after the last token was revoked creates none.
    """
    path = local_token_file(directory)
    if store.add_first("admin", ["*"], lambda text: write_private(path, text.encode())):
        logger.warning("no tokens yet: created one for admin, stored in %s", path)


def forget_admin(directory: Path, token_id: str) -> None:
    """Remove the file with the token of the first start, if it has this id."""
    path = local_token_file(directory)
    if path.is_file() and path.read_text("utf-8").startswith(f"{token_id}."):
        path.unlink()
