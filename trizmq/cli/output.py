"""What a command leaves: its exit code, a line for an error, tables, and its standard streams.

The streams work also where one was closed or its disk is full.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from enum import IntEnum
from typing import IO, TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TextIO

__all__ = ["Exit", "Failure", "open_missing", "settle", "silence_if_closed", "table"]

#: RFC 9110, section 15.6.5. From `http` it would cost 2 ms of each `--help`.
GATEWAY_TIMEOUT: Final = 504


class Exit(IntEnum):
    """The exit codes. 124 is what ``timeout(1)`` has for the same."""

    OK = 0
    FAULT = 1
    USAGE = 2
    NOBODY = 3
    CLIENT_ERROR = 4
    SERVER_ERROR = 5
    DEADLINE = 124

    @classmethod
    def of_status(cls, status: int) -> Exit:
        """Return what a response's status comes to."""
        # A deadline may pass here, or at the broker a moment earlier: to who asked, the same.
        if status == GATEWAY_TIMEOUT:
            return cls.DEADLINE
        if status >= 500:
            return cls.SERVER_ERROR
        return cls.CLIENT_ERROR if status >= 400 else cls.OK


class Failure(click.ClickException):
    """End the program with ``code`` and one line on stderr: ``trizmq: message``."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        # click declares it for the class, and reads it from the instance.
        self.exit_code = int(code)  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line; no usage and no traceback, for the command was understood."""
        click.echo(f"trizmq: {self.format_message()}", file=file, err=file is None)


def table(heads: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Return what ``rows`` have under ``heads``, one line each, below a line of the heads."""
    lines = [list(map(str.upper, heads))]
    lines += [[_cell(row.get(head)) for head in heads] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "-"
        case list():
            return ",".join(map(str, value)) or "-"
        case None | "":
            return "-"
        case _:
            return str(value)


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
