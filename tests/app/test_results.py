"""The return values of handlers become responses."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest

from trizmq import Response

Call = Callable[..., Awaitable[Response]]
Handled = Callable[..., Call]
ID = "0e984725-c51c-4bf4-9960-e1c80e27aba0"


class Pool(msgspec.Struct):
    size: int = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


class Pair(NamedTuple):
    a: int
    b: int


class Colour(enum.Enum):
    RED = "red"


class Made(msgspec.Struct, rename={"made_at": "madeAt"}):
    made_at: datetime.datetime


BAD_BODIES: list[Any] = ["text", None, 1]
BAD_HEADERS: list[Any] = [
    *({"x": 1}, {"x": None}, {"x": "\ud800"}, {"x": "a\r\nb: c"}, {"x": "\0"}),
    *({"x\ny": "z"}, {"": "z"}, {"a b": "z"}, {"ü": "z"}),
]
NOON = datetime.datetime(2024, 1, 2, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("result", "status", "body", "content_type"),
    [
        ({"a": [1, None, "ü"]}, 200, '{"a":[1,null,"ü"]}'.encode(), None),
        ({1: 2}, 200, b'{"1":2}', None),
        ("text", 200, b'"text"', None),
        (0, 200, b"0", None),
        (False, 200, b"false", None),
        (2**70, 200, b"1180591620717411303424", None),
        ([], 200, b"[]", None),
        (Pool(2), 200, b'{"size":2}', None),
        (Point(1, 2), 200, b'{"x":1,"y":2}', None),
        (Pair(1, 2), 200, b"[1,2]", None),
        ({"c": Colour.RED, "u": UUID(ID), "s": {1}}, 200, None, None),
        (
            [Made(NOON), NOON],
            200,
            b'[{"madeAt":"2024-01-02T12:00:00Z"},"2024-01-02T12:00:00Z"]',
            None,
        ),
        (b"\x00", 200, b"\x00", "application/octet-stream"),
        (b"", 200, b"", "application/octet-stream"),
        ((201, Pool(2)), 201, b'{"size":2}', None),
        ((202, b"x"), 202, b"x", "application/octet-stream"),
        ((204, None), 204, b"", None),
        ((409, {"a": 1}), 409, b'{"a":1}', None),
        (Response(299, body=b"x"), 299, b"x", None),
        (Response(HTTPStatus.CREATED, body=b"x"), 201, b"x", None),
    ],
)
async def test_results(
    handled: Handled, result: object, status: int, body: bytes | None, content_type: str | None
) -> None:
    async def handler() -> object:
        return result

    response = await handled(handler)("GET", "/t")
    assert response.status == status
    assert body is None or response.body == body
    assert response.headers.get("content-type") == content_type


@pytest.mark.parametrize(
    "result",
    [
        *(object(), {"a": object()}, "\ud800", float, Exception()),
        *(Response(99), Response(600), Response("200"), Response(True)),  # type: ignore[arg-type]  # that is the point
        *(Response(200, body=body) for body in BAD_BODIES),
        *(Response(200, headers=fields) for fields in BAD_HEADERS),
        *((1, 2), (200,), (200, 1, 2), ("200", 1), (600, 1), (200, Response(200))),
    ],
)
async def test_an_invalid_result_is_a_500(
    handled: Handled, result: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler() -> object:
        return result

    response = await handled(handler)("GET", "/t")
    assert (response.status, response.json()["executed"]) == (500, "maybe")
    assert "GET /t failed (request r-1)" in caplog.text


async def found_nothing() -> dict[str, int] | None:
    return None


async def returns_none() -> None:
    return None


def thread_returns_none() -> None:
    return None


async def bare():  # type: ignore[no-untyped-def]  # a handler may be so
    return None


@pytest.mark.parametrize(
    ("handler", "status"),
    [(found_nothing, 404), (bare, 404), (returns_none, 204), (thread_returns_none, 204)],
)
async def test_none_is_404_unless_annotated(handled: Handled, handler: Any, status: int) -> None:
    response = await handled(handler)("GET", "/t")
    assert response.status == status
    if status == 404:
        assert response.json() == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "executed": "maybe",
            "request_id": "r-1",
        }
    else:
        assert (response.body, response.headers) == (b"", {})
