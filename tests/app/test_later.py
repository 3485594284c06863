"""Late responses of handlers end once, and are treated like return values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from trizmq import HTTPError, Later, Request, Response, Router, hookimpl
from trizmq.app.application import App

if TYPE_CHECKING:
    from collections.abc import Callable


class Ledger:
    """Record the calls that a `Later` makes."""

    def __init__(self) -> None:
        self.parts = list[bytes]()
        self.ends = list[object]()
        self.later = Later(self.parts.append, self.ends.append)


class Caught(Request, kw_only=True):
    """Return a request that supports `reply_later`."""

    def reply_later(self) -> Later:
        self.later = Ledger().later
        return self.later


@pytest.fixture
def app_of() -> Callable[[Any], App]:
    """Return an app with this handler for any method of /t."""

    def of(handler: Any) -> App:
        routes = Router()
        routes.any("/t")(handler)

        class Things:
            @hookimpl
            def trizmq_register_routes(self) -> Router:
                return routes

        return App([Things()])

    return of


def test_later_ends_once() -> None:
    ledger = Ledger()
    later = ledger.later
    assert not later.is_over
    assert later.acknowledge(b"1")
    assert later.acknowledge(b"2")
    assert later.respond({"n": 3})
    assert later.is_over
    assert not later.respond(4)
    assert not later.fail(ValueError())
    assert not later.acknowledge(b"5")
    assert (ledger.parts, ledger.ends) == ([b"1", b"2"], [{"n": 3}])


def test_later_fails_once() -> None:
    ledger, error = Ledger(), ValueError()
    assert ledger.later.fail(error)
    assert not ledger.later.respond(1)
    assert ledger.ends == [error]


@pytest.mark.parametrize("data", ["text", bytearray(b"1"), None])
def test_a_part_is_bytes(data: Any) -> None:
    ledger = Ledger()
    with pytest.raises(TypeError, match="a part must be bytes"):
        ledger.later.acknowledge(data)
    assert ledger.parts == []


def test_a_request_without_a_caller_cannot_be_answered_later() -> None:
    with pytest.raises(RuntimeError, match="no caller"):
        Request(method="GET", path="/t").reply_later()


async def test_a_handler_that_answers_later_returns_nothing(app_of: Callable[..., App]) -> None:
    async def waits(request: Request) -> None:
        request.reply_later()

    def inline(request: Request) -> Any:
        request.reply_later()

    for handler in (waits, inline):
        for method in ("GET", "HEAD"):
            assert await app_of(handler).handle(Caught(method=method, path="/t")) is None


async def test_a_later_return_or_exception_is_still_the_response(
    app_of: Callable[..., App], caplog: pytest.LogCaptureFixture
) -> None:
    async def returns(request: Request) -> str:
        request.reply_later()
        return "now"

    async def raises(request: Request) -> None:
        request.reply_later()
        raise HTTPError(409)

    for handler, status in ((returns, 500), (raises, 409)):
        response = await app_of(handler).handle(Caught(method="GET", path="/t"))
        assert response is not None
        assert response.status == status
    assert "returns None, not 'now'" in caplog.text


@pytest.mark.parametrize(
    ("outcome", "status", "body"),
    [
        ({"n": 1}, 200, b'{"n":1}'),
        (b"raw", 200, b"raw"),
        ((201, [1]), 201, b"[1]"),
        ((204, None), 204, b""),
        (Response(418, body=b"x"), 418, b"x"),
    ],
)
def test_a_late_value_is_converted_like_a_return_value(
    app_of: Callable[..., App], outcome: Any, status: int, body: bytes
) -> None:
    app = app_of(lambda: None)
    response = app.answer_late(Request(method="GET", path="/t"), outcome)
    assert (response.status, response.body) == (status, body)
    response = app.answer_late(Request(method="HEAD", path="/t"), outcome)
    assert (response.status, response.body) == (status, b"")


@pytest.mark.parametrize(
    ("outcome", "status", "logs"),
    [
        (None, 404, False),
        (HTTPError(409, "taken"), 409, False),
        (ValueError("secret"), 500, True),
        (SystemExit(3), 500, True),
        (object(), 500, True),
        (Response(99), 500, True),
    ],
)
def test_a_late_failure_is_treated_like_an_exception(
    app_of: Callable[..., App],
    outcome: Any,
    status: int,
    logs: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = Request(method="GET", path="/t", request_id="r-1")
    response = app_of(lambda: None).answer_late(request, outcome)
    assert response.status == status
    assert response.json()["request_id"] == "r-1"
    assert response.json()["executed"] == "maybe"
    assert b"secret" not in response.body
    assert bool(caplog.records) is logs


async def test_a_late_cancellation_is_given_back(app_of: Callable[..., App]) -> None:
    app, request = app_of(lambda: None), Request(method="GET", path="/t")
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            app.answer_late(request, cancelled)
    assert scope.cancelled_caught


def test_a_late_ctrl_c_is_given_back(app_of: Callable[..., App], ctrl_c: KeyboardInterrupt) -> None:
    app, request = app_of(lambda: None), Request(method="GET", path="/t")
    with pytest.raises(KeyboardInterrupt):
        app.answer_late(request, ctrl_c)
    assert app.answer_late(request, KeyboardInterrupt()).status == 500
