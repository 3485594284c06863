"""How the command line ends: its exit codes, and the one line that goes with an error."""

from __future__ import annotations

from enum import IntEnum
from typing import IO, Any, Final

import click

__all__ = ["Exit", "Failure"]


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
