"""A caller's arguments: sent exactly or refused, and the client keeps working."""

from __future__ import annotations

import datetime
import decimal
import enum
import http
import math
import uuid
from typing import Any

import pytest
import trio

import trizmq
from trizmq.client.links import Pending, nobody


class Text(str):
    """Like Markup or numpy's str_: its methods do not return what it contains."""

    __slots__ = ()

    def __str__(self) -> str:
        return "lie"

    __format__ = lambda self, _: "lie"  # noqa: E731
    encode = lambda self, *_: b"lie"  # noqa: E731
    lower = upper = lambda self: "lie"
    isprintable = lambda self: True  # noqa: E731

    def __len__(self) -> int:
        return 0


class Octets(bytes):
    def __bytes__(self) -> bytes:
        return b"lie"

    def __len__(self) -> int:
        return 0


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


class Level(enum.IntEnum):
    HIGH = 9


class Word(enum.StrEnum):
    ONE = "one"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("params", "query="),
        ("data", "body="),
        ("content", "body="),
        ("jsn", "json="),
        ("header", "headers="),
        ("qurey", "query="),
        ("token", "open_client"),
        ("xyz", "body, headers, json, query"),
    ],
)
async def test_an_unknown_keyword_is_an_error_that_names_the_right_one(
    any_client: Any, wrong: str, right: str
) -> None:
    with pytest.raises(TypeError, match=right) as info:
        await any_client.post("/test/echo", **{wrong: {"a": "1"}})
    assert f"{wrong}=" in str(info.value)
    assert await any_client.lives()


async def test_the_trio_client_explains_how_to_set_a_timeout(serving: Any, routes: Any) -> None:
    async with serving(routes) as endpoint, trizmq.open_client(endpoint) as client:
        with pytest.raises(TypeError, match="fail_after"):
            await client.get("/test/echo", timeout=3)  # type: ignore[call-arg]


async def test_subclasses_are_sent_as_what_they_contain(any_client: Any) -> None:
    response = await any_client.request(
        Text("post"),
        Text("/test/echo"),
        headers={Text("X-A"): Text("value"), "x-word": Word.ONE},
        query={Text("name"): Text("a b"), "word": Word.ONE, "colour": Colour.RED},
        body=Octets(b"body"),
    )
    seen = response.json()
    assert seen["query"] == [["name", "a b"], ["word", "one"], ["colour", "red"]]
    assert seen["headers"] == {"x-a": "value", "x-word": "one"}
    assert seen["body"] == "body"
    assert (await any_client.request(http.HTTPMethod.POST, "/test/echo")).status == 200


@pytest.mark.parametrize("body", [bytearray(b"abc"), memoryview(b"abc"), memoryview(b"a.b.c")[::2]])
async def test_a_body_may_be_any_bytes(any_client: Any, body: Any) -> None:
    assert (await any_client.post("/test/echo", body=body)).json()["body"] == "abc"


@pytest.mark.parametrize(
    "details",
    [
        {"headers": {"a": "\ud800"}},
        {"headers": {"\ud800": "a"}},
        {"headers": {"a": 1}},
        {"headers": {"a": b"b"}},
        {"headers": {"a": None}},
        {"headers": {1: "b"}},
        {"headers": {"a": "b\nc: d"}},
        {"query": {"a": "\ud800"}},
        {"query": {"\ud800": "a"}},
        {"query": {"a": math.nan}},
        {"query": {"a": [1, -math.inf]}},
        {"query": {"a": decimal.Decimal("nan")}},
        {"query": {"a": {"b": 1}}},
        {"query": {"a": [[1]]}},
        {"query": {"a": object()}},
        {"query": {None: "a"}},
        {"json": math.nan},
        {"json": {"a": [math.inf]}},
        {"json": "\ud800"},
        {"body": "text"},
        {"body": 5},
        {"body": b"a", "json": 1},
    ],
)
async def test_an_invalid_argument_ends_only_its_call(
    any_client: Any, details: dict[str, Any]
) -> None:
    with pytest.raises(trizmq.LocalProtocolError) as info:
        await any_client.post("/test/echo", **details)
    assert info.value.executed == "no"
    assert await any_client.lives()


@pytest.mark.parametrize("target", ["/a\ud800", "/a\nb", "a", "", Text("no slash")])
async def test_an_invalid_target_ends_only_its_call(any_client: Any, target: str) -> None:
    with pytest.raises(trizmq.LocalProtocolError):
        await any_client.post(target)
    assert await any_client.lives()


@pytest.mark.parametrize("target", [None, 5, b"/test/echo", ["/"]])
async def test_a_value_that_is_not_text_is_a_type_error(any_client: Any, target: Any) -> None:
    with pytest.raises(TypeError):
        await any_client.post(target)
    with pytest.raises(TypeError):
        await any_client.request(target, "/test/echo")
    assert await any_client.lives()


async def test_a_value_without_a_json_form_is_a_type_error(any_client: Any) -> None:
    with pytest.raises(TypeError):
        await any_client.post("/test/json", json=object())
    with pytest.raises(TypeError):
        await any_client.post("/test/echo", query="a=1")
    with pytest.raises(TypeError):
        await any_client.post("/test/echo", query=["a"])
    assert await any_client.lives()


@pytest.mark.parametrize("token", ["\ud800", "a\n", Text("a\x00")])
async def test_a_token_is_checked_when_the_client_is_created(token: str) -> None:
    with pytest.raises(trizmq.LocalProtocolError, match="token"):
        trizmq.SyncClient(token=token)
    with pytest.raises(trizmq.LocalProtocolError, match="token"):
        async with trizmq.open_client(token=token):
            pass


async def test_a_token_may_be_a_subclass(serving: Any, routes: Any) -> None:
    async with serving(routes) as endpoint:
        async with trizmq.open_client(endpoint, token=Text("abc")) as client:
            seen = (await client.post("/test/echo")).json()
    assert seen["headers"] == {"authorization": "Bearer abc"}
    with pytest.raises(TypeError):
        trizmq.SyncClient(token=b"abc")  # type: ignore[arg-type]


async def test_a_query_is_encoded(any_client: Any) -> None:
    day = datetime.date(2026, 11, 27)
    query = {
        "none": None,
        "flag": True,
        "off": False,
        "n": 2**70,
        "x": 0.1,
        "big": 1e300,
        "colour": [Colour.RED, None, Colour.TWO, Level.HIGH],
        "set": frozenset([1]),
        "empty": [],
        "blank": "",
        "day": day,
        "id": uuid.UUID(int=1),
        "price": decimal.Decimal("1.10"),
        "raw": b"\xff",
    }
    seen = (await any_client.post("/test/echo?first=1", query=query)).json()["query"]
    assert seen == [
        ["first", "1"],
        ["flag", "true"],
        ["off", "false"],
        ["n", str(2**70)],
        ["x", "0.1"],
        ["big", "1e+300"],
        ["colour", "red"],
        ["colour", "2"],
        ["colour", "9"],
        ["set", "1"],
        ["blank", ""],
        ["day", "2026-11-27"],
        ["id", str(uuid.UUID(int=1))],
        ["price", "1.10"],
        ["raw", "\ufffd"],
    ]
    pairs = [("a", 1), ("b", 2), ("a", 3)]
    seen = (await any_client.post("/test/echo", query=pairs)).json()["query"]
    assert seen == [["a", "1"], ["b", "2"], ["a", "3"]]
    typed = {"flag": True, "n": 2**70, "x": 1e300, "day": day}
    response = await any_client.request("GET", "/test/typed", query=typed)
    assert response.json() == [True, 2**70, 1e300, "2026-11-27"]


async def test_headers_of_one_name_are_joined(any_client: Any) -> None:
    response = await any_client.post("/test/echo", headers={"A": "1", "b": "2", "a": "3"})
    assert response.json()["headers"] == {"a": "1, 3", "b": "2"}


async def test_headers_may_be_pairs(any_client: Any) -> None:
    for pairs in ([("A", "1"), ("b", "2"), ["a", "3"]], {("A", "1, 3"): 0, ("b", "2"): 0}.keys()):
        response = await any_client.post("/test/echo", headers=pairs)
        assert response.json()["headers"] == {"a": "1, 3", "b": "2"}
    assert (await any_client.post("/test/echo", headers=[])).json()["headers"] == {}


@pytest.mark.parametrize("wrong", ["x", "ab", b"x", 1, ["ab"], [("a", "b", "c")], [1]])
async def test_headers_that_are_not_pairs_are_a_type_error(any_client: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="headers is a mapping, or pairs"):
        await any_client.post("/test/echo", headers=wrong)
    assert await any_client.lives()


@pytest.mark.parametrize("body", [b"", bytearray(), b"x"])
async def test_a_body_beside_json_is_refused(any_client: Any, body: Any) -> None:
    with pytest.raises(trizmq.LocalProtocolError, match="not both"):
        await any_client.post("/test/echo", body=body, json=1)
    assert (await any_client.post("/test/json", body=None, json=1)).json() == 1


@pytest.mark.parametrize("value", [2**64, -(2**70), 2**53 + 1, 10**30, [2**100, 1.5, None]])
async def test_json_is_exact_both_ways(any_client: Any, value: Any) -> None:
    back = (await any_client.post("/test/json", json=value)).json()
    assert back == value
    assert type(back) is type(value)


async def test_a_handler_that_returns_nan_is_a_500(any_client: Any, caplog: Any) -> None:
    response = await any_client.request("GET", "/test/nan")
    assert response.status == 500
    assert "JSON has no nan" in caplog.text


async def test_a_call_that_cannot_be_encoded_ends_only_itself(serving: Any, routes: Any) -> None:
    """The last line of defence: a call that passed the checks, and still cannot be encoded."""
    async with serving(routes) as endpoint, trizmq.open_client(endpoint) as client:
        await client.post("/test/echo")
        ends: list[object] = []

        async def call(headers: dict[str, str]) -> None:
            deadline = trio.current_time() + 5
            pending = Pending("POST", "/test/echo", headers, b"", deadline, False, nobody)
            done = trio.Event()
            pending.waiter = done.set
            client._carrier.submit(pending, trio.current_time())
            await done.wait()
            ends.append(pending.outcome)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for n in range(100):
                    nursery.start_soon(call, {"a": "\ud800" if n % 10 == 0 else "b"})
    refused = [one for one in ends if isinstance(one, trizmq.LocalProtocolError)]
    assert len(refused) == 10
    assert sum(isinstance(one, trizmq.Response) and one.status == 200 for one in ends) == 90


async def test_a_handler_may_return_subclasses(any_client: Any) -> None:
    assert (await any_client.request("GET", "/test/octets")).body == b"octets"
    response = await any_client.request("GET", "/test/response")
    assert (response.status, response.headers["x-a"], response.body) == (202, "one", b"octets")
    assert (await any_client.request("GET", "/test/words")).json() == {"one": ["one"]}


@pytest.mark.parametrize(("module", "name"), [("markupsafe", "Markup"), ("numpy", "str_")])
async def test_a_handler_may_return_those_of_other_libraries(
    any_client: Any, module: str, name: str
) -> None:
    text = getattr(pytest.importorskip(module), name)
    response = await any_client.request(
        text("post"),
        text("/test/echo"),
        headers={text("A"): text("<b>")},
        query={text("q"): text("<i>")},
    )
    assert response.json() == {"query": [["q", "<i>"]], "headers": {"a": "<b>"}, "body": ""}
    assert (await any_client.post("/test/json", json={text("<"): text(">")})).json() == {"<": ">"}


@pytest.mark.parametrize("wrong", [5, None, b"GET"])
async def test_an_error_names_the_value_that_is_not_text(any_client: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"text|str"):
        await any_client.request(wrong, "/test/echo")
    with pytest.raises(TypeError, match=r"text|str"):
        await any_client.request("GET", wrong)
    with pytest.raises(TypeError, match=r"pairs|expected"):
        await any_client.post("/test/echo", query=5)


@pytest.mark.parametrize(
    "wrong", [("GET",), "GET", 5, None, ("GET", "/test/echo", None), ("GET", "/test/echo", {}, {})]
)
async def test_call_many_explains_what_a_call_is(open_server, wrong: Any) -> None:
    async with open_server() as server, trizmq.open_client(server.endpoint) as client:
        with pytest.raises(TypeError, match=r"a call is \(method, target\)"):
            await client.call_many([("GET", "/test/echo"), wrong])
