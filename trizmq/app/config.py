"""The state directory: where tokens, keys and plugins' files live."""

# Light on purpose: the command line asks before it has loaded anything else.

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError

__all__ = ["state_dir"]


def state_dir(explicit: Path | None = None) -> Path:
    """Return the state directory, which exists then; mode 0700 if it had to be made.

    Args:
      explicit: from ``--state-dir``; else ``TRIZMQ_STATE_DIR``, else
        ``$XDG_STATE_HOME/trizmq``, else ``~/.local/state/trizmq``.

    Raises:
      ConfigError: if it cannot be made, or is not a directory.

    """
    path = (explicit or _from_environment()).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the state directory {path} cannot be made: {error.strerror}") from error
    return path


def _from_environment() -> Path:
    if ours := os.environ.get("TRIZMQ_STATE_DIR"):
        return Path(ours)
    # XDG Base Directory Specification: "All paths set in these environment variables must be
    # absolute. If an implementation encounters a relative path [...] it should consider the
    # path invalid and ignore it."
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path("~/.local/state")) / "trizmq"
