"""Files that only their owner can read, replaced as a whole by one process at a time."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trizmq import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_private", "locked", "write_private"]


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Keep other processes out of the directory of ``lock`` while the block runs.

    Existing drafts are removed: the processes that wrote them have been killed.
    """
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        _lock(descriptor)
        for draft in lock.parent.glob(".*.draft"):
            draft.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)  # releases the lock


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path``, mode 0600, atomically, even if the power fails.

    Raises:
      OSError: with ``path`` in it; the file is unchanged.

    """
    try:
        _write(path, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write(path: Path, content: bytes) -> None:
    descriptor, draft = tempfile.mkstemp(".draft", f".{path.name}.", path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    if sys.platform == "win32":  # which cannot open directories
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_private(path: Path, command: str) -> None:
    """Refuse a file or directory that every user of this machine can write.

    Raises:
      ConfigError: the message contains ``command``, which fixes the problem.
      OSError: if the file does not exist.

    """
    mode = path.stat().st_mode
    is_sticky = stat.S_ISDIR(mode) and mode & stat.S_ISVTX  # as in /tmp: users own their files
    if sys.platform != "win32" and mode & stat.S_IWOTH and not is_sticky:
        kind = "directory" if stat.S_ISDIR(mode) else "file"
        raise ConfigError(
            f"every user can write the {kind} {path} (mode {stat.S_IMODE(mode):04o}), and so"
            f" create tokens: run {command} {path}"
        )
