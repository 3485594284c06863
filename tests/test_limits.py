"""Limits as settings: by name, within bounds, with one clear line for each error."""

from __future__ import annotations

from typing import Any

import pytest

from trizmq.errors import ConfigError
from trizmq.limits import MIB, Limits, limits_of

NAMES = [name for name in Limits.__struct_fields__ if name != "wait"]


def test_the_defaults() -> None:
    assert limits_of({}) == Limits()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (2 * MIB, 2 * MIB),
        ("2097152", 2 * MIB),
        ("2_097_152", 2 * MIB),
        ("2MiB", 2 * MIB),
        (" 2 mib ", 2 * MIB),
        ("2048 KiB", 2 * MIB),
        ("1.5MiB", 3 * MIB // 2),
        ("1GiB", 1024 * MIB),
    ],
)
def test_bytes_can_be_written_in_several_ways(said: object, meant: int) -> None:
    assert limits_of({"body_bytes": said}).body_bytes == meant


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_setting(name: str) -> None:
    value = getattr(Limits(), name)
    assert getattr(limits_of({name: value}), name) == value
    assert getattr(limits_of({name: str(value)}), name) == value


WRONG: list[Any] = [
    0,
    -1,
    10**18,
    float("nan"),
    float("inf"),
    True,
    None,
    [1],
    {},
    "",
    "many",
    "1 kB",
    "-1",
]
WRONG += ["1__0x", "0x10", "nan", "inf", "1e3", "٣", "9" * 400]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_an_invalid_limit_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        limits_of({name: value})
    assert "\n" not in str(caught.value)
    assert "limits" in str(caught.value)


@pytest.mark.parametrize("name", ["bodybytes", "workers_", "BODY_BYTES"])
def test_an_unknown_one_is_named_beside_those_that_exist(name: str) -> None:
    with pytest.raises(ConfigError, match="body_bytes") as caught:
        limits_of({name: 1})
    assert repr(name) in str(caught.value)


def test_wait_is_a_separate_setting() -> None:
    with pytest.raises(ConfigError, match="wait"):
        limits_of({"wait": 3})
