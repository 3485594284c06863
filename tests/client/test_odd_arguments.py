"""Odd values as every argument: a response or one clear error, and no other caller notices."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import http
import math
import types
import uuid
from typing import Any

import pytest
import trio

import trizmq


class Text(str):
    """All its methods fail; only its content is valid."""

    __slots__ = ()

    def _broken(self, *_: Any) -> Any:
        raise RuntimeError("this subclass is broken")

    __eq__ = __str__ = __format__ = __len__ = __iter__ = __getitem__ = _broken
    encode = lower = _broken  # type: ignore[assignment]
    __hash__ = str.__hash__


class Octets(bytes):
    def __len__(self) -> int:
        return 10**12

    def __iter__(self) -> Any:
        raise RuntimeError("this subclass is broken")


class Broken(enum.Enum):
    IT = object()


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def released() -> memoryview:
    view = memoryview(b"abc")
    view.release()
    return view


ODD: dict[str, Any] = {
    "none": None,
    "bools": [True, False],
    "numbers": [0, -1, 2**64, 2**70, 10**5000, 1.5, math.nan, math.inf, 1e-400, 1j],
    "decimals": [decimal.Decimal("1e999999"), decimal.Decimal("sNaN"), fractions.Fraction(1, 3)],
    "texts": ["", "a", "\ud800", "\x00", "\u2028", "\xe9", "a b", "x" * 70_000],
    "text": Text("a"),
    "broken text": [Text("a"), Text("\ud800"), collections.UserString("a")],
    "bytes": [b"", b"\xff", Octets(b"abc"), bytearray(b"abc"), memoryview(b"abc")],
    "views": [released(), memoryview(bytearray(8)).cast("I"), memoryview(b"abcd")[::2]],
    "enums": [Broken.IT, http.HTTPStatus.OK, http.HTTPMethod.GET],
    "times": [datetime.datetime(2026, 11, 28), datetime.timedelta(1), uuid.uuid4()],
    "mappings": [{}, {1: 2}, {None: 1}, {"a": {"b": [None]}}, types.MappingProxyType({"a": "b"})],
    "collections": [
        (1, 2),
        {1},
        collections.deque([1]),
        collections.ChainMap({"a": "b"}),
        range(3),
    ],
    "deep": nested(100_000),
    "objects": [object(), object, len, Ellipsis, trizmq.Response(200), ValueError("a")],
}

VALUES = [
    value
    for name, listed in ODD.items()
    for value in (listed if isinstance(listed, list) and name != "deep" else [listed])
]


def calls_with(value: Any) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Pass ``value`` as each argument of a call."""
    whole: list[dict[str, Any]] = [{name: value} for name in ("query", "headers", "body", "json")]
    parts: list[dict[str, Any]] = [
        {"query": {"a": value}},
        {"query": [("a", value), (value, "a")]},
        {"query": {"a": [value]}},
        {"headers": {"a": value}},
        {"json": {"a": [value, None]}},
    ]
    odd_words: list[tuple[Any, Any, dict[str, Any]]] = [
        (value, "/test/echo", {}),
        ("POST", value, {}),
    ]
    for details in whole + parts:
        odd_words.append(("POST", "/test/echo", details))
    return odd_words


async def test_odd_values_are_sent_or_refused(any_client: Any) -> None:
    good = 0

    async def keep_calling() -> None:
        nonlocal good
        while True:
            assert await any_client.lives()
            good += 1
            await trio.sleep(0.001)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_calling)
        for value in VALUES:
            for method, target, details in calls_with(value):
                with trio.fail_after(5):
                    try:
                        await any_client.request(method, target, **details)
                    except (TypeError, trizmq.LocalProtocolError):
                        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert good > 10


def test_odd_timeouts_are_used_or_refused() -> None:
    with trizmq.SyncClient("tcp://127.0.0.1:9") as client:
        for value in VALUES:
            is_number = isinstance(value, int | float | fractions.Fraction) and value > 0
            if is_number or value is None:
                continue
            with pytest.raises((TypeError, ValueError), match=r"a timeout is"):
                client.get("/x", timeout=value)
