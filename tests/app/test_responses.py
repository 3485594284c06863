"""Responses: what they are made of."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from trizmq import Headers, Response


class User(msgspec.Struct):
    name: str


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"a": [1, None]}, b'{"a":[1,null]}'),
        (User("Ada"), b'{"name":"Ada"}'),
        ("text", b'"text"'),
        (None, b"null"),
        (0, b"0"),
        ([], b"[]"),
    ],
)
def test_json_is_encoded_and_sets_the_content_type(value: Any, body: bytes) -> None:
    response = Response(201, json=value)
    assert (response.status, response.body) == (201, body)
    assert response.headers == {"content-type": "application/json"}


def test_json_keeps_a_content_type_that_is_given_and_changes_no_headers_of_the_caller() -> None:
    given = Headers({"Content-Type": "application/hal+json"})
    location = Headers({"location": "/users/1"})
    assert Response(200, given, json=1).content_type == "application/hal+json"
    assert dict(Response(201, location, json=1).headers) == {
        "location": "/users/1",
        "content-type": "application/json",
    }
    assert location == {"location": "/users/1"}


def test_json_and_a_body_are_refused() -> None:
    with pytest.raises(TypeError, match="not both"):
        Response(200, body=b"x", json="x")


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800"])
def test_json_that_cannot_be_encoded_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Response(200, json=value)


def test_a_response_made_from_json_is_like_any_other() -> None:
    response = Response(200, json={"a": 1})
    same = Response(200, Headers({"content-type": "application/json"}), b'{"a":1}')
    assert response == same == copy.copy(response)
    assert repr(response) == repr(same)
    assert repr(same).startswith("Response(status=200, headers=")
    assert "UNSET" not in repr(same)
    assert msgspec.structs.replace(response, body=b"2").json() == 2
