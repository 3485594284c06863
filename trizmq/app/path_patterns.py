"""Patterns: the paths of routes, parsed into segments."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONVERTERS", "Converter", "Parameter", "Segment", "Shape", "parse_pattern", "shape_of"]


#: Converts the text of a segment to the handler's value; ValueError means: no match.
Converter: TypeAlias = Callable[[str], Any]

_PARAMETER: Final = re.compile(r"\{([A-Za-z_]\w*)(?::([A-Za-z_]\w*))?\}|:([A-Za-z_]\w*)", re.ASCII)

_FLOAT: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def to_int(text: str) -> int:
    """Parse ``-?[0-9]+``; `int` itself also accepts ``1_0``, blanks and other digits."""
    digits = text[1:] if text[:1] == "-" else text
    if digits.isdigit() and digits.isascii():
        return int(text)
    raise ValueError(text)


def to_float(text: str) -> float:
    """Parse digits with or without a fraction, but not ``nan``, ``inf`` or ``1e9``."""
    if not _FLOAT.fullmatch(text):
        raise ValueError(text)
    return float(text)


def to_uuid(text: str) -> UUID:
    """Parse the canonical form of 36 characters; `UUID` itself also accepts braces."""
    if not _UUID.fullmatch(text):
        raise ValueError(text)
    return UUID(text)


def to_path(text: str) -> str:
    """Accept the rest of the path, including slashes and ``..``: do not trust it."""
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
    """A variable segment: ``{name}`` or ``{name:converter}``."""

    name: str
    convert: Converter

    @property
    def is_plain(self) -> bool:
        """Whether it matches any single segment."""
        return self.convert is str

    @property
    def is_rest(self) -> bool:
        """Whether it matches the rest of the path."""
        return self.convert is to_path

    @property
    def type(self) -> type | None:
        """The type of the handler's value; None if only the converter knows."""
        if isinstance(self.convert, type):
            return self.convert
        return _TYPES.get(self.convert)


#: A literal, or a parameter.
Segment: TypeAlias = str | Parameter

#: A pattern without parameter names: two routes with the same shape match the same paths.
Shape: TypeAlias = tuple[str | Converter, ...]


def parse_pattern(pattern: str, converters: Mapping[str, Converter]) -> tuple[Segment, ...]:
    """Parse ``pattern``: ``/users/{user_id:int}``, or ``/users/:user_id`` for ``{user_id}``.

    Args:
      pattern: begins with ``/``, or is ``""`` for the prefix of its router.
      converters: the converters of the router, in addition to the built-in ones.

    Raises:
      ValueError: with the pattern and the error in it.

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
    """Check the segments of a whole pattern for conflicts.

    Raises:
      ValueError: for two parameters with the same name, or a segment after a ``path``.

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
    # Paths are compared after decoding and without the query.
    if any(sign in text for sign in "?#%"):
        raise ValueError(f"pattern {pattern!r}: write {text!r} decoded, without '?', '#' and '%'")
    return text


def shape_of(segments: tuple[Segment, ...]) -> Shape:
    """Return the shape; two patterns match the same paths if their shapes are equal."""
    return tuple(
        segment.convert if isinstance(segment, Parameter) else segment for segment in segments
    )
