"""The state directory: the location of tokens, keys and files of plugins."""

# Keep this module light: the command line needs it before it loads anything else.

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError

__all__ = ["local_token_file", "state_dir"]


def state_dir(explicit: Path | None = None) -> Path:
    """Return the state directory; create it with mode 0700 if it does not exist.

    Args:
      explicit: from ``--state-dir``. If None: ``TRIZMQ_STATE_DIR``, or
        ``$XDG_STATE_HOME/trizmq``, or ``~/.local/state/trizmq``.

    Raises:
      ConfigError: if it cannot be created, or is not a directory.

    """
    path = explicit or _from_environment()
    try:
        path = path.expanduser().absolute()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create the state directory {path}: {error.strerror}") from error
    except RuntimeError as error:  # no HOME, and the user database has no entry
        raise ConfigError(
            f"the state directory {path} cannot be found, because this user has no home directory:"
            " set it with --state-dir or TRIZMQ_STATE_DIR"
        ) from error
    return path


def local_token_file(state_dir: Path) -> Path:
    """Return the file with the token that commands on this machine use if none is given.

    A plugin that issues tokens may store one there, with mode 0600. `trizmq call` and the other
    commands send it only to endpoints on this machine. The file need not exist.

    Args:
      state_dir: the state directory, as `trizmq_lifespan` receives it.

    """
    return state_dir / "admin-token"


def _from_environment() -> Path:
    if ours := os.environ.get("TRIZMQ_STATE_DIR"):
        return Path(ours)
    # XDG Base Directory Specification: "All paths set in these environment variables must be
    # absolute. If an implementation encounters a relative path [...] it should consider the
    # path invalid and ignore it."
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path("~/.local/state")) / "trizmq"
