"""Patterns: what a route's path looks like, segment by segment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONVERTERS",
    "Converter",
    "Parameter",
    "Segment",
    "Shape",
    "parse_pattern",
    "shape_of",
]

#: Text of one segment -> the value a handler gets; ValueError: "this does not match".
Converter: TypeAlias = Callable[[str], Any]

_PARAMETER: Final = re.compile(r"\{([A-Za-z_]\w*)(?::([A-Za-z_]\w*))?\}|:([A-Za-z_]\w*)", re.ASCII)
_FLOAT: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def to_int(text: str) -> int:
    """Read ``-?[0-9]+``; `int` alone would also take ``1_0``, blanks and other digits."""
    digits = text[1:] if text[:1] == "-" else text
    if digits.isdigit() and digits.isascii():
        return int(text)
    raise ValueError(text)


def to_float(text: str) -> float:
    """Read digits, with a fraction or without; not ``nan``, ``inf`` or ``1e9``."""
    if not _FLOAT.fullmatch(text):
        raise ValueError(text)
    return float(text)


def to_uuid(text: str) -> UUID:
    """Read the canonical form of 36 characters; `UUID` alone would also take braces."""
    if not _UUID.fullmatch(text):
        raise ValueError(text)
    return UUID(text)


def to_path(text: str) -> str:
    """Take all that is left of the path, slashes and ``..`` included: do not trust it."""
    return text


CONVERTERS: Final[Mapping[str, Converter]] = {
    "str": str,
    "int": to_int,
    "float": to_float,
    "uuid": to_uuid,
    "path": to_path,
}

_TYPES: Final[Mapping[Converter, type]] = {
    to_int: int,
    to_float: float,
    to_uuid: UUID,
    to_path: str,
}


@final
@dataclass(frozen=True, slots=True)
class Parameter:
    """A segment that varies: ``{name}`` or ``{name:converter}``."""

    name: str
    convert: Converter

    @property
    def is_plain(self) -> bool:
        """Whether any one segment will do."""
        return self.convert is str

    @property
    def is_rest(self) -> bool:
        """Whether it takes the rest of the path."""
        return self.convert is to_path

    @property
    def type(self) -> type | None:
        """What a handler gets; None if only the converter knows."""
        if isinstance(self.convert, type):
            return self.convert
        return _TYPES.get(self.convert)


#: A literal, or a parameter.
Segment: TypeAlias = str | Parameter

#: A pattern without its parameters' names: two routes of one shape match the same paths.
Shape: TypeAlias = tuple[str | Converter, ...]


def parse_pattern(pattern: str, converters: Mapping[str, Converter]) -> tuple[Segment, ...]:
    """Read ``pattern``: ``/users/{user_id:int}``, or ``/users/:user_id`` for ``{user_id}``.

    Args:
      pattern: begins with ``/``; or ``""``, which is the prefix of its router.
      converters: those of the router, besides the built-in ones.

    Raises:
      ValueError: naming the pattern and what is wrong with it.

    """
    if not pattern:
        return ()
    if not pattern.startswith("/"):
        raise ValueError(f"pattern {pattern!r} must begin with '/'")
    known = {**CONVERTERS, **converters}
    segments = tuple(_parse_segment(pattern, text, known) for text in pattern[1:].split("/"))
    check_segments(pattern, segments)
    return segments


def check_segments(pattern: str, segments: tuple[Segment, ...]) -> None:
    """Hold the segments of a whole pattern against each other.

    Raises:
      ValueError: for two parameters of one name, or something behind a ``path``.

    """
    parameters = [segment for segment in segments if isinstance(segment, Parameter)]
    names = [parameter.name for parameter in parameters]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"pattern {pattern!r} has two parameters named {name!r}")
    for segment in segments[:-1]:
        if isinstance(segment, Parameter) and segment.is_rest:
            raise ValueError(f"pattern {pattern!r}: nothing can follow {{{segment.name}:path}}")


def _parse_segment(pattern: str, text: str, converters: Mapping[str, Converter]) -> Segment:
    if not text:
        raise ValueError(f"pattern {pattern!r} has an empty segment: no '//', no '/' at its end")
    found = _PARAMETER.fullmatch(text)
    if found is None:
        return _literal(pattern, text)
    braced, converter, colon = found.groups()
    if converter and converter not in converters:
        known = ", ".join(converters)
        raise ValueError(f"pattern {pattern!r}: no converter {converter!r} (there are: {known})")
    return Parameter(braced or colon, converters[converter or "str"])


def _literal(pattern: str, text: str) -> str:
    if text.startswith(":") or any(sign in text for sign in "{}"):
        raise ValueError(
            f"pattern {pattern!r}: a parameter is a whole segment, "
            f"'{{name}}' or '{{name:converter}}', not {text!r}"
        )
    # Paths are compared decoded and without their query.
    if any(sign in text for sign in "?#%"):
        raise ValueError(f"pattern {pattern!r}: write {text!r} decoded, without '?', '#' and '%'")
    return text


def shape_of(segments: tuple[Segment, ...]) -> Shape:
    """Return what decides whether two patterns match the same paths."""
    return tuple(
        segment.convert if isinstance(segment, Parameter) else segment for segment in segments
    )
