"""JSON is exact in both directions, or an error."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq.json_codec import decode, encode

NAN = math.nan


class Text(str):
    """A subclass with misleading methods."""

    __slots__ = ()

    def __str__(self) -> str:
        return "lie"

    def encode(self, *_: Any) -> bytes:
        return b"lie"


class Number(int):
    def __int__(self) -> int:
        return -1

    def __str__(self) -> str:
        return "lie"


class Real(float):
    def __float__(self) -> float:
        return -1.0


class Octets(bytes):
    def __bytes__(self) -> bytes:
        return b"lie"


class Box(msgspec.Struct):
    it: Any
    other: None = None


@dataclasses.dataclass
class Data:
    it: Any


class Colour(enum.Enum):
    RED = "red"
    BROKEN = NAN


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # no surrogates
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(json_values)
def test_every_value_is_read_back_exactly(value: Any) -> None:
    back = decode(encode(value))
    assert back == value
    assert repr(back) == repr(value)  # an int stays an int, and a float a float


@pytest.mark.parametrize("n", [2**53 + 1, 2**63, -(2**63) - 1, 2**64, -(2**64), 10**30, 10**4299])
def test_integers_have_any_size(n: int) -> None:
    assert decode(encode({"n": [n, None]})) == {"n": [n, None]}
    assert encode(n) == str(n).encode()


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf, Real("nan"), Colour.BROKEN])
@pytest.mark.parametrize(
    "put",
    [
        lambda it: it,
        lambda it: [None, it],
        lambda it: {"a": {"b": (1, it)}},
        lambda it: Box(it),
        lambda it: [Box([Data({"x": it})])],
        lambda it: [2**70, {"x": it}],
        lambda it: {"null": [it]},
        lambda it: [b"\xcb\x7f\xf0" * 3, it],
    ],
)
def test_no_float_becomes_null(bad: Any, put: Any) -> None:
    with pytest.raises(ValueError, match="JSON has no"):
        encode(put(bad))


@pytest.mark.parametrize(
    "value",
    [None, [None, b"\xcb\x7f\xf0" * 9], [None, 2**70], {"a": None, "n": 0xCB7FF000}, Box(1.5)],
)
def test_a_null_that_is_none_stays(value: Any) -> None:
    assert b"null" in encode(value)


def test_a_subclass_is_written_as_its_plain_value() -> None:
    value = {"text": Text("a"), Text("key"): [Number(3), Number(2**70), Real(0.5), Octets(b"hi")]}
    assert decode(encode(value)) == {"text": "a", "key": [3, 2**70, 0.5, "aGk="]}
    assert encode(Text("null")) == b'"null"'


def test_a_value_that_cannot_be_encoded_is_an_error() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for bad in ("\ud800", {"\ud800": 1}, loop, 10**5000):
        with pytest.raises(ValueError):  # noqa: PT011 (the reasons differ)
            encode(bad)
    for other in (object(), {(1, 2): 3}, [lambda: 1]):
        with pytest.raises(TypeError):
            encode(other)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"01",
        b"[1,]",
        b"{} {}",
        b'"\\ud800"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        '"a"'.encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 5000,
    ],
)
def test_invalid_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode(text)


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    assert decode(b'{"a":1,"a":2}') == {"a": 2}
