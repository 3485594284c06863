"""Conversion of the arguments of a call to a record of the engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from numbers import Integral
from typing import Any, Final, TypeAlias, TypedDict, final
from urllib.parse import urlencode

import msgspec

from .. import json_codec, name_rules
from ..errors import LocalProtocolError
from ..json_codec import plain_bytes, plain_text
from .links import Pending, nobody

__all__ = ["Details", "RequestMaker", "StreamDetails", "with_query"]


class Details(TypedDict, total=False):
    """The arguments of a call besides method and target; other keywords raise TypeError.

    Attributes:
      query: encoded and appended to the target: a mapping, or pairs. A sequence of values repeats
        the name, None omits it; a bool is ``true`` or ``false``, an Enum is its value. NaN,
        infinity and values without a text form are refused.
      headers: a mapping, or pairs, with case-insensitive names; values with the same name are
        joined by a comma.
      body: raw bytes; not together with ``json``.
      json: any value that msgspec can encode, including Structs and dataclasses. Integers of any
        size are exact; NaN and infinity are refused.

    """

    query: Mapping[str, Any] | Iterable[tuple[str, Any]] | None
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | None
    body: bytes | bytearray | memoryview | None
    json: Any


class StreamDetails(Details, total=False):
    """The arguments of `Client.stream` besides method and target.

    Attributes:
      window: bytes that may arrive before they are read, 1 MiB by default; then the handler waits
        at its ``yield``. Each part counts as its size and 128 bytes.
      head_seconds: the time for the head to arrive if there is no deadline, 30 by default.

    """

    window: int
    head_seconds: float


_KNOWN: Final = frozenset({"query", "headers", "body", "json"})

#: Names from other libraries, and names of arguments of other functions.
_RIGHT_WORDS: Final = {
    "content": "body=",
    "data": "body= for bytes, json= for anything else",
    "params": "query=",
    "timeout": "`with trio.fail_after(seconds):` around the call; SyncClient has timeout=",
    "token": "token= of open_client or SyncClient, or headers=",
    "auth": "token= of open_client or SyncClient, or headers=",
}


@final
class RequestMaker:
    """Creates the engine's calls from the arguments of users.

    Raises:
      LocalProtocolError: if a header cannot carry the token.

    """

    def __init__(self, token: str | None) -> None:
        self._headers: dict[str, str] = {}
        if token is not None and (checked := _checked_token(token)):
            self._headers["authorization"] = f"Bearer {checked}"
        self._weight = _weight(self._headers)

    def make(
        self, method: str, target: str, details: Details, deadline: float, is_timed: bool
    ) -> Pending:
        """Return a call that ends by ``deadline`` and has no waiter yet.

        Raises:
          LocalProtocolError: if target, query, headers or body are invalid.
          TypeError: if a keyword is unknown, ``json`` cannot be encoded, or method or target
            are not text.

        """
        if type(target) is not str or type(method) is not str:
            method, target = plain_text(method), plain_text(target)
        method, target = name_rules.check_method(method), name_rules.check_target(target)
        headers, weight, body = self._headers, self._weight, b""
        if details:
            _check_names(details)
            query, fields = details.get("query"), details.get("headers")
            if query is not None:
                target = with_query(target, query)
            if fields is not None:
                headers = self._merged(fields)
                weight = _weight(headers)
            body = _body(details)
        weight += 4 * (len(method) + len(target)) + len(body)
        return Pending(method, target, headers, body, deadline, is_timed, nobody, weight)

    def _merged(self, fields: Any) -> dict[str, str]:
        if type(fields) is dict and name_rules.are_fields_normal(fields):
            return self._headers | fields
        return self._headers | name_rules.check_fields(_pairs(fields))


def _pairs(fields: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(fields, Mapping):
        return fields.items()
    kind = type(fields).__name__
    if not isinstance(fields, Iterable) or isinstance(fields, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"headers is a mapping, or pairs, not {kind}")
    pairs = list(fields)
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise TypeError("headers is a mapping, or pairs of a name and a value")
    return [(name, value) for name, value in pairs]  # compiled code distinguishes list and tuple


def _checked_token(token: object) -> str:
    if not isinstance(token, str):
        raise TypeError(f"a token is text, not {type(token).__name__}")
    token = plain_text(token)
    if not name_rules.is_printable(token):
        raise LocalProtocolError(
            "a token is printable text; if it is from a file, remove the line end"
        )
    return token


def _check_names(details: Details) -> None:
    for name in details:
        if name not in _KNOWN:
            raise TypeError(f"a call has no {name}={_hint(name)}")


def _hint(name: str) -> str:
    if word := _RIGHT_WORDS.get(name):
        return f": use {word}"
    close = get_close_matches(name, _KNOWN, 1)
    return f": did you mean {close[0]}=?" if close else f": it has {', '.join(sorted(_KNOWN))}"


def _weight(headers: dict[str, str]) -> int:
    """Return an upper bound for the size of the fields in bytes: see `Pending.weight`."""
    weight = 0
    for name, value in headers.items():
        weight += 32 + 4 * (len(name) + len(value))
    return weight


def _body(details: Details) -> bytes:
    body = details.get("body")
    if "json" not in details:
        if body is None:
            return b""
        try:
            return plain_bytes(body)
        except (TypeError, ValueError) as error:
            raise LocalProtocolError(f"body: {error}; see json=") from None
    if body is not None:
        raise LocalProtocolError("a call has one body: json= or body=, not both")
    try:
        return json_codec.encode(details["json"])
    except ValueError as error:
        raise LocalProtocolError(f"json: {error}") from error


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
    for pair in _items(query):
        name, value = pair
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


def _items(query: Any) -> Iterable[Any]:  # any pairs: compiled code would check their types
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
