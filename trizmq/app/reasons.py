"""Describe an error of a plugin in one line. Does not load Trio: the command line uses it."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["one_line"]

#: Places where an error of a plugin cannot originate: trizmq itself, and the standard library.
_OURS: Final = str(Path(__file__).parents[1])
_LIBRARY: Final = str(Path(os.__file__).parent)  # `sysconfig` knows it too, but takes 5 ms


def one_line(error: BaseException, package: str = "") -> str:
    """Return the type, text and location of ``error`` in one line.

    Args:
      error: as the plugin's code raised it.
      package: the plugin's package. The location is the last line of that package that ran,
        followed by the line that failed, if that is in other code.

    """
    text = _text(error)
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    places = "; ".join(dict.fromkeys(_places(error, package)))
    return f"{said} ({places})" if places else said


def _text(error: BaseException) -> str:
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        return " ".join(text.split())
    except KeyboardInterrupt:
        raise
    except BaseException:  # its `__str__` may be the plugin's own
        return ""


def _places(error: BaseException, package: str) -> Iterator[str]:
    frames = [
        (f"{code.co_filename}:{line}", str(frame.f_globals.get("__name__", "")))
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_of_plugin((code := frame.f_code).co_filename)
    ]
    own = [place for place, name in frames if package and name.partition(".")[0] == package]
    yield from own[-1:]
    if isinstance(error, SyntaxError) and error.filename:
        yield f"{error.filename}:{error.lineno}"
    else:
        yield from [place for place, _ in frames[-1:]]


def _is_of_plugin(file: str) -> bool:
    if file.startswith(("<frozen ", _OURS)):
        return False
    return not file.startswith(_LIBRARY) or "-packages" in file
