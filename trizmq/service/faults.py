"""Faults of our own code that a message brings out: survived, counted, logged once a place."""

from __future__ import annotations

from traceback import extract_tb
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    import logging

__all__ = ["Faults"]

#: Places that are told apart. A program has few; what is beyond them is only counted.
MAX_PLACES: Final = 100


@final
class Faults:
    """The last resort of a loop: an exception that should not exist must not end it.

    The first fault at a place is logged with its traceback; those that follow are counted.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.count = 0
        self._logger = logger
        self._places: set[str] = set()

    def note(self, error: Exception, doing: str) -> None:
        """Count ``error``, and log it if it is the first of its kind at its place."""
        self.count += 1
        place = f"{type(error).__name__} at {_place(error)}"
        if place not in self._places and len(self._places) < MAX_PLACES:
            self._places.add(place)
            self._logger.error(
                "a fault while %s: %s; please report it. This place is logged once.",
                doing,
                place,
                exc_info=error,
            )


def _place(error: Exception) -> str:
    frames = extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
