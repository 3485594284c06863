"""The standard streams of a command, also where one was closed or its disk is full."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["open_missing", "settle", "silence_if_closed"]


def open_missing() -> None:
    """Give each standard stream that was closed a descriptor, so that no socket gets its number.

    Writing to a standard output that was closed then fails, as it should: what was to be shown
    is lost. Standard error has nobody to tell it to, and swallows what is written.
    """
    modes = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)
    for number, mode in enumerate(modes):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free: this one
    streams: Any = sys  # which declares that they are there
    streams.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    streams.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    streams.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def settle() -> None:
    """Flush what can be; the rest must not fail once more when Python ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)


def silence_if_closed() -> None:
    """Let standard output swallow what is written if it was closed: no `print` is to fail."""
    try:
        os.write(sys.stdout.fileno(), b"")
    except OSError as error:
        if error.errno == errno.EBADF:
            silence(sys.stdout)


def silence(stream: TextIO) -> None:
    """Let ``stream`` swallow all that is written from now on, and what waits in it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
