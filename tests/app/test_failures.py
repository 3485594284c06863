"""Exceptions from handlers are logged and become responses; Trio's own exceptions pass."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from trizmq import HTTPError, Response

Call = Callable[..., Awaitable[Response]]
Handled = Callable[..., Call]


class Own(BaseException):
    pass


ODD = [
    ValueError("secret"),
    SystemExit("secret"),
    KeyboardInterrupt("secret"),  # Ctrl-C raises a different one: see below
    GeneratorExit(),
    StopIteration(),
    Own("secret"),
    ExceptionGroup("secret", [ValueError("secret"), HTTPError(409)]),
    BaseExceptionGroup("secret", [Own("secret"), ValueError()]),
    BaseExceptionGroup("secret", [KeyboardInterrupt("secret"), ValueError()]),
    HTTPError(409, headers={"x": 1}),  # type: ignore[dict-item]  # not text
    HTTPError(409, headers={"x": "a\r\nb: c"}),
    HTTPError(409, detail=b"secret"),  # type: ignore[arg-type]  # not text
]


@pytest.mark.parametrize("error", ODD, ids=repr)
@pytest.mark.parametrize("kind", ["async", "thread", "inline"])
async def test_whatever_a_handler_raises_is_a_500_and_logged(
    handled: Handled, error: BaseException, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def waits() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    def returns() -> None:
        raise error

    handler = waits if kind == "async" else returns
    response = await handled(handler, inline=kind == "inline")("GET", "/t")
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "executed": "maybe",
        "request_id": "r-1",
    }
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("trizmq.app", logging.ERROR)
    assert record.getMessage() == "GET /t failed (request r-1)"
    assert record.exc_info


async def in_a_nursery() -> None:
    async with trio.open_nursery() as outer, trio.open_nursery():
        outer.start_soon(trio.sleep_forever)
        raise HTTPError(409, "taken", headers={"X-Why": "because"})


async def plainly() -> None:
    raise HTTPError(409, "taken", headers={"X-Why": "because"})


@pytest.mark.parametrize("handler", [plainly, in_a_nursery])
async def test_an_http_error_is_itself_also_out_of_nurseries(
    handled: Handled, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    response = await handled(handler)("GET", "/t")
    assert response.status == 409
    assert response.headers == {"x-why": "because", "content-type": "application/problem+json"}
    assert response.json()["detail"] == "taken"
    assert response.json()["executed"] == "maybe"
    assert not caplog.records


async def test_cancelled_passes(handled: Handled, caplog: pytest.LogCaptureFixture) -> None:
    call = handled(trio.sleep_forever)
    with trio.move_on_after(0) as scope:
        await call("GET", "/t")
    assert scope.cancelled_caught
    assert not caplog.records


async def test_of_a_group_the_cancelled_part_passes_and_the_rest_is_logged(
    handled: Handled, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in cleanup")

    async def handler() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails_when_cancelled)
            try:
                await trio.sleep_forever()
            except trio.Cancelled as error:
                raise BaseExceptionGroup("both", [error, error]) from None

    call = handled(handler)
    with trio.move_on_after(0) as scope:
        await call("GET", "/t")
    assert scope.cancelled_caught
    assert "in cleanup" in caplog.text
    assert "Cancelled" not in caplog.records[0].getMessage()


async def test_a_group_of_cancelled_alone_is_not_logged(
    handled: Handled, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as error:
            raise BaseExceptionGroup("one", [error]) from None

    with trio.move_on_after(0) as scope:
        await handled(handler)("GET", "/t")
    assert scope.cancelled_caught
    assert not caplog.records


@pytest.mark.parametrize("in_a_group", [False, True])
async def test_ctrl_c_passes(
    handled: Handled, ctrl_c: KeyboardInterrupt, *, in_a_group: bool
) -> None:
    async def handler() -> None:
        raise BaseExceptionGroup("", [ctrl_c, ValueError()]) if in_a_group else ctrl_c

    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
        await handled(handler)("GET", "/t")
    if in_a_group:
        assert isinstance(caught.value, BaseExceptionGroup)
        assert caught.value.subgroup(lambda error: error is ctrl_c) is not None
    else:
        assert caught.value is ctrl_c
