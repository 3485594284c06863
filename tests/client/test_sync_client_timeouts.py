"""The values of `timeout=`."""

from __future__ import annotations

import math
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
import trio

import trizmq

UNREACHABLE = "tcp://127.0.0.1:9"


@pytest.mark.parametrize("bad", [0, -1, -math.inf, math.nan, 0.0])
def test_a_timeout_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        trizmq.SyncClient(timeout=bad)
    with trizmq.SyncClient(UNREACHABLE) as client, pytest.raises(ValueError, match="more than 0"):
        client.get("/x", timeout=bad)


@pytest.mark.parametrize("bad", ["5", b"5", [5], 1j, True, object()])
def test_a_timeout_that_is_not_a_number_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match="number of seconds"):
        trizmq.SyncClient(timeout=bad)
    with (
        trizmq.SyncClient(UNREACHABLE) as client,
        pytest.raises(TypeError, match="number of seconds"),
    ):
        client.get("/x", timeout=bad)


@pytest.mark.parametrize("long", [None, math.inf, 1e300, 10**400, 3601])
async def test_a_long_timeout_is_reduced_to_an_hour(serving: Any, routes: Any, long: Any) -> None:
    def use(endpoint: str) -> None:
        with trizmq.SyncClient(endpoint, timeout=long) as client:
            for details in ({}, {"timeout": long}):
                left = client.post("/test/left", **details).json()
                assert 3590 < left <= 3600.1

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)


async def test_a_number_of_any_kind_is_a_timeout(serving: Any, routes: Any) -> None:
    numbers: list[Any] = [5, 5.0, Fraction(5)]
    if find_spec("numpy"):
        numpy = import_module("numpy")
        numbers += [numpy.float32(5), numpy.int64(5)]

    def use(endpoint: str) -> None:
        with trizmq.SyncClient(endpoint) as client:
            for timeout in numbers:
                left = client.post("/test/left", timeout=timeout).json()
                assert 4 < left <= 5.1

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)
