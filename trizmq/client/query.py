"""Encoding the ``query=`` of a call as part of its target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from numbers import Integral
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import msgspec

from ..errors import LocalProtocolError
from ..plain_types import plain_bytes, plain_text

__all__ = ["with_query"]

#: Iterable types that are a single value, or invalid.
_NO_LISTS: Final = (str, bytes, bytearray, memoryview, Enum, Mapping)
_Pair: TypeAlias = tuple[str | bytes, str | bytes]


def with_query(target: str, query: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    """Return ``target`` with ``query`` appended, percent-encoded.

    Values can be text, numbers, bools (``true``, ``false``), Enums (their value), dates, UUIDs,
    Decimals, or bytes. None omits the name; a list, tuple or set repeats it.

    Raises:
      LocalProtocolError: if a value has another type, or cannot be text: NaN, a lone surrogate.
      TypeError: if ``query`` is neither a mapping nor pairs.

    """
    pairs = list(_query_pairs(query))
    if not pairs:
        return target
    try:
        text = urlencode(pairs)
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"query: {error}") from None
    return f"{target}{'&' if '?' in target else '?'}{text}"


def _query_pairs(query: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Iterator[_Pair]:
    for name, value in _items(query):
        if isinstance(value, Iterable) and not isinstance(value, _NO_LISTS):
            values = list(value)
        else:
            values = [value]
        for one in values:
            if one is not None:
                yield _pair(name, one)


def _pair(name: Any, value: Any) -> _Pair:
    try:
        return _written(name), _written(value)
    except (TypeError, ValueError, RecursionError) as error:
        where = repr(plain_text(name)[:40]) if isinstance(name, str) else "a name"
        raise LocalProtocolError(f"query: {where}: {error}") from None


def _items(query: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(query, Mapping):
        return query.items()
    if isinstance(query, (str, bytes, bytearray, memoryview)):
        raise TypeError("query is a mapping, or pairs; append text to the target, after a ?")
    if not isinstance(query, Iterable):
        raise TypeError(f"query is a mapping, or pairs, not {type(query).__name__}")
    pairs = list(query)
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise TypeError("query is a mapping, or pairs of a name and a value")
    return pairs


def _written(value: Any) -> str | bytes:
    """Return ``value`` as text in the server's format; bytes are percent-encoded unchanged."""
    if isinstance(value, Enum):
        return _written(value.value)
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return plain_bytes(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Integral):
        return int.__repr__(int(value))
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        raise ValueError(f"a query cannot contain {value}")
    if isinstance(value, float):
        return float.__repr__(value)
    text = msgspec.to_builtins(value)  # a date, a UUID, a Decimal
    if type(text) is not str:
        raise TypeError(f"a {type(value).__name__} has no text form")
    return text
