"""Headers are a mapping with case-insensitive names in all operations."""

from __future__ import annotations

import copy
import pickle
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq import Headers

if TYPE_CHECKING:
    from collections.abc import Callable


class Field(StrEnum):
    ETAG = "ETag"


class Shouting(str):
    def lower(self) -> str:
        return self.upper()


@pytest.fixture
def headers() -> Headers:
    return Headers({"Etag": "1", "X-A": "2"})


@pytest.mark.parametrize("name", ["etag", "ETag", "ETAG", Field.ETAG, Shouting("ETag")])
def test_every_look_up(headers: Headers, name: str) -> None:
    assert name in headers
    assert name in headers.keys()  # noqa: SIM118 (this tests the view)
    assert headers[name] == "1"
    assert headers.get(name) == "1"
    assert headers.setdefault(name, "3") == "1"
    match headers:
        case {"ETag": value}:
            assert value == "1"
        case _:
            pytest.fail("no match")
    assert headers.pop(name) == "1"
    assert name not in headers
    assert headers.get(name) is None
    assert headers.get(name, "x") == "x"
    assert headers.pop(name, "x") == "x"
    with pytest.raises(KeyError):
        headers.pop(name)
    with pytest.raises(KeyError):
        headers[name]
    with pytest.raises(KeyError):
        del headers[name]
    assert headers.setdefault(name, "3") == "3"
    del headers[name]
    assert dict(headers) == {"x-a": "2"}


def set_it(headers: Headers) -> Headers:
    headers["ETAG"] = "9"
    return headers


def or_it(headers: Headers) -> Headers:
    headers |= {"ETAG": "9"}
    return headers


def or_pairs(headers: Headers) -> Headers:
    headers |= [("ETAG", "9")]
    return headers


def update(*fields: Any, **more: str) -> Callable[[Headers], Headers]:
    def change(headers: Headers) -> Headers:
        headers.update(*fields, **more)
        return headers

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_it,
        or_it,
        or_pairs,
        update({"ETAG": "9"}),
        update([("ETAG", "9")]),
        update(iter([("ETAG", "9")])),
        update(ETAG="9"),
        update(Headers({"etag": "9"})),
        lambda headers: headers | {"ETAG": "9"},
        lambda headers: headers | Headers({"ETAG": "9"}),
        lambda headers: {"ETAG": "8", "X-A": "7"} | headers | {"Etag": "9"},
        lambda headers: Headers({**headers, "etag": "9"}),
    ],
)
def test_every_change(headers: Headers, change: Callable[[Headers], Headers]) -> None:
    changed = change(headers)
    assert type(changed) is Headers
    assert list(changed.items()) == [("etag", "9"), ("x-a", "2")]


def test_a_new_one_leaves_the_old_as_it_was(headers: Headers) -> None:
    _ = headers | {"x": "y"}
    headers.copy()["x"] = "y"
    assert list(headers) == ["etag", "x-a"]


def test_the_right_operand_wins(headers: Headers) -> None:
    assert ({"ETAG": "8"} | headers)["etag"] == "1"
    assert type({"ETAG": "8"} | headers) is Headers
    for other in (1, "x", [("a", "b")]):
        with pytest.raises(TypeError):
            headers | other
        with pytest.raises(TypeError):
            other | headers


def test_equality_knows_no_case(headers: Headers) -> None:
    for same in (headers, headers.copy(), {"ETAG": "1", "x-A": "2"}, Headers(dict(headers))):
        assert headers == same
        assert same == headers
        assert not headers != same  # noqa: SIM202 (this is a different method)
        assert not same != headers  # noqa: SIM202
    others: list[Any] = [{"etag": "1"}, {"etag": "1", "x-a": "3"}, {1: "1", 2: "2"}, [], None]
    for other in others:
        assert headers != other
        assert other != headers
        assert not headers == other  # noqa: SIM201
    with pytest.raises(TypeError):
        hash(headers)


@pytest.mark.parametrize(
    "again",
    [
        copy.copy,
        copy.deepcopy,
        Headers.copy,
        Headers,
        lambda headers: Headers(list(headers.items())),
        *[
            lambda headers, protocol=protocol: pickle.loads(pickle.dumps(headers, protocol))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ],
    ],
)
def test_copies(headers: Headers, again: Callable[[Headers], Headers]) -> None:
    made = again(headers)
    assert made is not headers
    assert type(made) is Headers
    assert made == headers
    assert made["ETAG"] == "1"


def test_made_of_keys() -> None:
    made = Headers.fromkeys(["ETag", "X"], "1")
    assert type(made) is Headers
    assert made == {"etag": "1", "x": "1"}


def test_iteration_has_lower_case(headers: Headers) -> None:
    assert list(headers) == list(headers.keys()) == ["etag", "x-a"]
    assert list(reversed(headers)) == ["x-a", "etag"]
    assert headers.keys() & {"ETag", "y"} == {"ETag"}
    assert len(headers) == len(headers.keys()) == 2
    assert headers.popitem() == ("x-a", "2")
    assert msgspec.json.encode(headers) == b'{"etag":"1"}'


def test_fields_of_one_name_are_joined() -> None:
    for fields in ({"A": "1", "a": "2"}, [("a", "1"), ("A", "2")]):
        assert dict(Headers(fields)) == {"a": "1, 2"}


names = st.sampled_from(["a", "A", "b", "B", "etag", "ETag", "ETAG"])
values = st.sampled_from(["1", "2"])


@given(st.lists(st.tuples(st.sampled_from(["set", "pop", "del", "or", "default"]), names, values)))
def test_it_behaves_like_a_dict_with_lower_case_names(steps: list[tuple[str, str, str]]) -> None:
    headers, model = Headers(), dict[str, str]()
    for step, name, value in steps:
        match step:
            case "set":
                headers[name] = model[name.lower()] = value
            case "pop":
                assert headers.pop(name, None) == model.pop(name.lower(), None)
            case "del" if name in headers:
                del headers[name], model[name.lower()]
            case "or":
                headers |= {name: value}
                model |= {name.lower(): value}
            case "default":
                given = headers.setdefault(name, value)
                assert given == model.setdefault(name.lower(), value)
        assert dict(headers) == model
        assert headers == model
        assert (name in headers) == (name.lower() in model)
