"""What a caller says as ``query=``, appended to the target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from numbers import Integral
from typing import Any, TypeAlias
from urllib.parse import urlencode

import msgspec

from ..errors import LocalProtocolError
from ..plain_types import plain_text

__all__ = ["with_query"]

_Pair: TypeAlias = tuple[str | bytes, str | bytes]


def with_query(target: str, query: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    """Return ``target`` with ``query`` behind it, percent-encoded.

    A value is text, a number, a bool (``true``, ``false``), an Enum (its value), a date, a UUID, a
    Decimal, or bytes. None leaves the name out; a list, tuple or set repeats it.

    Raises:
      LocalProtocolError: a value is none of these, or has no text: NaN, a lone surrogate.
      TypeError: ``query`` is neither a mapping nor pairs.

    """
    pairs = list(_pairs(query))
    if not pairs:
        return target
    try:
        text = urlencode(pairs)
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"query: {error}") from None
    return f"{target}{'&' if '?' in target else '?'}{text}"


def _pairs(query: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Iterator[_Pair]:
    for name, value in _items(query):
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Enum, Mapping)):
            values = list(value)
        else:
            values = [value]
        for one in values:
            if one is not None:
                yield _written(name, name), _written(one, name)


def _items(query: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(query, Mapping):
        return query.items()
    if isinstance(query, (str, bytes)):
        raise TypeError("query is a mapping, or pairs; a query that is text goes behind target's ?")
    pairs = list(query)
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise TypeError("query is a mapping, or pairs of a name and a value")
    return pairs


def _written(value: Any, name: object) -> str | bytes:
    """Return ``value`` as text, as the server reads it; bytes are percent-encoded as they are."""
    if isinstance(value, Enum):
        return _written(value.value, name)
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, bytes):
        return memoryview(value).tobytes()
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        if isinstance(value, Integral):
            return int.__repr__(int(value))
        if isinstance(value, float) and math.isfinite(value):
            return float.__repr__(value)
        text = msgspec.to_builtins(value)  # a date, a UUID, a Decimal
    except (TypeError, ValueError) as error:
        raise LocalProtocolError(f"query: {name!r}: {error}") from None
    if type(text) is not str or (isinstance(value, Decimal) and not value.is_finite()):
        raise LocalProtocolError(f"query: {name!r} cannot be {value!r}")
    return text
