"""Every problem document has the cause, the request id, and whether a handler ran."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from trizmq import HTTPError, Request, Response, Router, problem
from trizmq.app.application import App
from trizmq.messages import PROBLEM

Call = Callable[..., Awaitable[Response]]


class Reason(msgspec.Struct):
    place: str


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not me"


class Word(enum.StrEnum):
    TAKEN = "taken"


class Lazy:
    def __str__(self) -> str:
        return "in the end"


class Silent:
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("detail", "sent"),
    [
        ("taken", "taken"),
        ({"place": ["name"], "why": "taken"}, {"place": ["name"], "why": "taken"}),
        ([{"place": "name"}, 2], [{"place": "name"}, 2]),
        ([], []),
        (0, 0),
        (2**70, 2**70),
        (False, False),
        (Reason("name"), {"place": "name"}),
        ([Reason("name")], [{"place": "name"}]),
        ({1: {2}}, {"1": [2]}),
        (Text("taken"), "taken"),
        (Word.TAKEN, "taken"),
        (ValueError("no number"), "no number"),
        (Lazy(), "in the end"),
        (float("nan"), "nan"),
        ({"error": ValueError("it")}, "{'error': ValueError('it')}"),
        ("half \ud800", "half \\ud800"),
    ],
)
async def test_a_detail_of_any_kind_keeps_the_status(
    handled: Callable[..., Call], detail: Any, sent: Any
) -> None:
    async def handler() -> None:
        raise HTTPError(422, detail)

    response = await handled(handler)("GET", "/t")
    assert response.status == 422
    assert msgspec.json.decode(response.body) == {
        "type": "about:blank",
        "title": response.json()["title"],
        "status": 422,
        "detail": sent,
        "executed": "maybe",
        "request_id": "r-1",
    }


async def test_a_detail_that_cannot_be_encoded_is_a_500(handled: Callable[..., Call]) -> None:
    async def handler() -> None:
        raise HTTPError(422, Silent())

    response = await handled(handler)("GET", "/t")
    assert (response.status, response.json()["request_id"]) == (500, "r-1")


SHARED = problem(400, "x-tenant is missing")


def shared(request: Request) -> Response:
    return SHARED


async def waits(request: Request) -> Response:
    return problem(400, "no", executed="no", extra=2**70)


def knows(request: Request) -> Response:
    return problem(503, executed="maybe", request_id="another")


def by_hand(request: Request) -> Response:
    return Response(400, {"Content-Type": f"{PROBLEM}; charset=utf-8"}, b'{"title": "no"}')  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("guard", "executed", "request_id"),
    [
        (shared, "no", "r-1"),
        (waits, "no", "r-1"),
        (knows, "maybe", "another"),
        (by_hand, "no", "r-1"),
    ],
)
async def test_of_a_precondition(
    serving: Callable[..., Call], guard: Any, executed: str, request_id: str
) -> None:
    routes = Router()
    routes.get("/t")(returns_problem)
    for _ in range(2):
        response = await serving(routes, guard)("GET", "/t")
        document = msgspec.json.decode(response.body)
        assert (document["executed"], document["request_id"]) == (executed, request_id)
        assert document.get("extra", 2**70) == 2**70
    assert b"request_id" not in SHARED.body


async def returns_problem() -> Response:
    return problem(409, "taken")


async def test_of_a_handler(handled: Callable[..., Call]) -> None:
    response = await handled(returns_problem)("GET", "/t")
    assert response.status == 409
    assert (response.json()["executed"], response.json()["request_id"]) == ("maybe", "r-1")
    assert response.content_type == PROBLEM


def test_of_a_late_answer() -> None:
    request = Request("GET", "/t", request_id="r-1")
    response = App([]).answer_late(request, problem(409, "taken"))
    assert (response.json()["executed"], response.json()["request_id"]) == ("maybe", "r-1")


@pytest.mark.parametrize(
    "response",
    [
        Response(400, body=b'{"error": "own"}'),
        Response(400, {"content-type": PROBLEM}, b"not JSON"),  # type: ignore[arg-type]
        Response(400, {"content-type": PROBLEM}, b"[]"),  # type: ignore[arg-type]
        Response(200, {"content-type": PROBLEM}, b"{}"),  # type: ignore[arg-type]
    ],
)
async def test_other_responses_are_unchanged(
    handled: Callable[..., Call], response: Response
) -> None:
    async def handler() -> Response:
        return response

    body = response.body
    assert (await handled(handler)("GET", "/t")).body == body
