"""The output of a command: exit codes, error lines, tables, and the standard streams.

The streams also work if one was closed or its disk is full.
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
    """The exit codes. 124 is the one of ``timeout(1)``."""

    OK = 0
    FAULT = 1
    USAGE = 2
    UNREACHABLE = 3
    CLIENT_ERROR = 4
    SERVER_ERROR = 5
    DEADLINE = 124

    @classmethod
    def of_status(cls, status: int) -> Exit:
        """Return the exit code for the status of a response."""
        # Whether a deadline passes here or at the broker makes no difference to the user.
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
        """Write the line, without usage or traceback: the command itself was valid."""
        click.echo(f"trizmq: {self.format_message()}", file=file, err=file is None)


def table(heads: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Return a line of ``heads``, and a line with these columns for each row."""
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
    """Open each standard stream that was closed, so that no socket gets its descriptor.

    Writing to a standard output that was closed then fails, as it should: the output is lost.
    Standard error cannot report that, and discards the text.
    """
    modes = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)
    for number, mode in enumerate(modes):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free: this one
    streams: Any = sys  # typeshed declares that the streams exist
    streams.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    streams.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    streams.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def settle() -> None:
    """Flush the streams, and silence any that fails, so that it does not fail again at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)


def silence_if_closed() -> None:
    """Discard standard output if it was closed, so that no `print` fails."""
    try:
        os.write(sys.stdout.fileno(), b"")
    except OSError as error:
        if error.errno == errno.EBADF:
            silence(sys.stdout)


def silence(stream: TextIO) -> None:
    """Discard the buffer of ``stream`` and everything written from now on."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
