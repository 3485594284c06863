"""Every signature works as it reads, or stops the start with an error that names the place."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, NewType, TypedDict, TypeVar

import msgspec
import pytest
from msgspec import Meta

from trizmq import PluginError, Principal, Request, Response

Call = Callable[..., Awaitable[Response]]
Handled = Callable[..., Call]

Number = TypeVar("Number", bound=int)
Positive = NewType("Positive", Annotated[int, Meta(ge=1)])
Described = Annotated[int, Meta(description="a number")]


# Callers cannot set the arguments of a partial.


async def of_tenant(n: int, tenant: str, *, limit: int = 5) -> Any:
    return [n, tenant, limit]


class Tenants:
    async def of(self, n: int, tenant: str) -> Any:
        return [n, tenant]

    blue = functools.partialmethod(of, tenant="blue")


@functools.wraps(functools.partial(of_tenant, tenant="blue"))
async def around_partial(*args: Any, **kwargs: Any) -> Any:
    assert "tenant" not in kwargs
    return await functools.partial(of_tenant, tenant="blue")(*args, **kwargs)


around_partial.__wrapped__ = functools.partial(of_tenant, tenant="blue")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "handler",
    [
        functools.partial(of_tenant, tenant="blue"),
        functools.partial(functools.partial(of_tenant, limit=5), tenant="blue"),
        functools.partial(of_tenant, 1, "blue"),
        Tenants().blue,
        around_partial,
    ],
    ids=["by name", "twice", "by position", "method", "decorated"],
)
async def test_a_caller_cannot_override_arguments_of_a_partial(
    handled: Handled, handler: Any
) -> None:
    response = await handled(handler)("GET", "/t?n=1&tenant=red")
    assert (response.status, response.json()[:2]) == (200, [1, "blue"])


async def test_a_partial_of_the_body_or_the_principal(handled: Handled) -> None:
    async def both(note: dict[str, int], who: Principal) -> Any:
        return [note, who.name]

    handler = functools.partial(both, note={"a": 1}, who=Principal("ada"))
    response = await handled(handler)("POST", "/t", b'{"b": 2}', Principal("eve"))
    assert response.json() == [{"a": 1}, "ada"]


def test_a_pattern_cannot_set_arguments_of_a_partial(handled: Handled) -> None:
    with pytest.raises(PluginError, match=r"no argument takes \{tenant\}"):
        handled(functools.partial(of_tenant, tenant="blue"), "/t/{tenant}")


# Handlers need an argument for every parameter of the pattern.


async def nothing() -> str:
    return "ok"


async def whole(request: Request) -> Any:
    return request.path_params


def test_a_path_parameter_that_no_argument_takes_stops_the_start(handled: Handled) -> None:
    with pytest.raises(PluginError) as caught:
        handled(nothing, "/t/{number:int}")
    assert "/t/{number:int} (nothing, plugin 'things'): no argument takes {number}" in str(
        caught.value
    )
    assert "test_signatures.py:" in str(caught.value)


async def test_the_request_has_all_parameters_and_some_may_only_match(handled: Handled) -> None:
    assert (await handled(whole, "/t/{n:int}")("GET", "/t/7")).json() == {"n": 7}
    assert (await handled(nothing, "/t/{_n:int}")("GET", "/t/7")).json() == "ok"
    assert (await handled(nothing, "/t/{_n:int}")("GET", "/t/x")).status == 404


# Meta's descriptions change nothing, and its constraints apply, in every position.


async def described_query(it: Described) -> Any:
    return it


async def described_or_none(it: Described | None) -> Any:
    return it


async def described_or_text(it: Described | Annotated[str, Meta(title="t")]) -> Any:
    return it


async def positive(it: Positive) -> Any:
    return it


async def positive_or_none(it: Positive | None) -> Any:
    return it


async def bound(it: Number) -> Any:  # type: ignore[type-var]  # as a handler may have it
    return it


@pytest.mark.parametrize(
    "handler",
    [described_query, described_or_none, described_or_text, positive, positive_or_none, bound],
)
async def test_one_number_of_the_query(handled: Handled, handler: Any) -> None:
    response = await handled(handler)("POST", "/t?it=7", b"8")
    assert (response.status, str(response.json())) == (200, "7")


async def described_list(it: list[Described]) -> Any:
    return it


async def list_described(it: Annotated[list[int], Meta(description="numbers")]) -> Any:
    return it


@pytest.mark.parametrize("handler", [described_list, list_described])
async def test_some_numbers_of_the_query(handled: Handled, handler: Any) -> None:
    assert (await handled(handler)("POST", "/t?it=7&it=8", b"[9]")).json() == [7, 8]


@pytest.mark.parametrize("handler", [positive, positive_or_none])
async def test_limits_of_a_path_parameter(handled: Handled, handler: Any) -> None:
    call = handled(handler, "/t/{it:int}")
    assert (await call("GET", "/t/1")).json() == 1
    refused = await call("GET", "/t/0")
    assert (refused.status, refused.json()["executed"]) == (422, "no")
    assert "path parameter `it`: Expected `int` >= 1" in refused.json()["detail"]


async def limited_body(it: Annotated[bytes, Meta(max_length=3)]) -> Any:
    return it.decode()


async def body_or_none(it: bytes | None) -> Any:
    return it and it.decode()


async def body_or_default(it: bytes = b"default") -> Any:
    return it.decode()


async def test_limits_and_defaults_of_a_raw_body(handled: Handled) -> None:
    assert (await handled(limited_body)("POST", "/t", b"abc")).json() == "abc"
    refused = await handled(limited_body)("POST", "/t", b"abcd")
    detail = "the body: Expected `bytes` of length <= 3"
    assert (refused.status, refused.json()["detail"]) == (422, detail)
    assert (await handled(body_or_none)("POST", "/t")).status == 404
    assert (await handled(body_or_none)("POST", "/t", b"x")).json() == "x"
    assert (await handled(body_or_default)("POST", "/t")).json() == "default"
    assert (await handled(body_or_default)("POST", "/t", b"x")).json() == "x"


# Defaults of dataclasses inside any other type.


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Shape(msgspec.Struct):
    points: tuple[Point, ...]
    named: dict[str, Point | None] = {}


class Typed(TypedDict):
    point: Annotated[Point, Meta(description="where")]


async def shape(it: Shape) -> Any:
    return it


async def typed(it: Typed) -> Any:
    return it


@pytest.mark.parametrize(
    ("handler", "body", "value"),
    [
        (
            shape,
            b'{"points": [{"x": 1}], "named": {"a": {"x": 2}, "b": null}}',
            {"points": [{"x": 1, "y": 0}], "named": {"a": {"x": 2, "y": 0}, "b": None}},
        ),
        (typed, b'{"point": {"x": 1}}', {"point": {"x": 1, "y": 0}}),
    ],
)
async def test_defaults_of_inner_dataclasses(
    handled: Handled, handler: Any, body: bytes, value: Any
) -> None:
    assert (await handled(handler)("POST", "/t", body)).json() == value


# A 422 lists everything that does not fit.


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    age: int
    pool: list[Point] = []


class Lenient(msgspec.Struct):
    name: str
    age: int
    pool: list[Point] = []


async def strict(it: Strict) -> Any:
    return it


async def lenient(it: Lenient) -> Any:
    return it


async def many(page: int, order: Literal["up", "down"], it: Lenient) -> Any:
    return it


@pytest.mark.parametrize(
    ("handler", "body", "detail"),
    [
        (
            strict,
            {"nme": "x"},
            "Object contains unknown field `nme` (missing: `name`, `age`)",
        ),
        (
            strict,
            {"name": "x", "age": 1, "a": 1, "b": 2},
            "Object contains unknown field `a` (not known: `b`)",
        ),
        (
            lenient,
            {"nme": "x"},
            "Object missing required field `name` (missing: `age`; not known: `nme`)",
        ),
        (
            lenient,
            {"name": "x", "age": 1, "pool": [{"x": 1}, {"z": 1}]},
            "Object missing required field `x` - at `$.pool[1]` (not known: `pool[1].z`)",
        ),
        (lenient, {"name": "x"}, "Object missing required field `age`"),
    ],
)
async def test_every_name_that_does_not_fit(
    handled: Handled, handler: Any, body: Any, detail: str
) -> None:
    response = await handled(handler)("POST", "/t", msgspec.json.encode(body))
    assert (response.status, response.json()["detail"]) == (422, detail)


async def test_every_argument_that_does_not_fit(handled: Handled) -> None:
    response = await handled(many)("POST", "/t?order=left", b'{"name": "x"}')
    assert response.status == 422
    assert response.json()["detail"] == (
        "query parameter `page` is missing; query parameter `order`: Invalid enum value 'left'; "
        "Object missing required field `age`"
    )


async def known_callers(page: int, who: Principal) -> Any:
    return who.name


async def test_the_caller_is_checked_before_the_arguments(handled: Handled) -> None:
    call = handled(known_callers)
    assert (await call("GET", "/t?page=x")).status == 401
    assert (await call("GET", "/t?page=x", principal=Principal("ada"))).status == 422


async def test_a_422_lists_a_limited_number_of_names(handled: Handled) -> None:
    body = msgspec.json.encode({f"{number}" * 1000: 1 for number in range(1000)})
    response = await handled(lenient)("POST", "/t", body)
    assert response.status == 422
    assert len(response.body) < 2000


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (list[Lenient], b"[" + b",".join([b"{}"] * 500_000) + b"]"),
        (list[Lenient], b"[" + b",".join([b"1"] * 500_000) + b"]"),
        (dict[str, list[Lenient]], b'{"a": [' + b",".join([b'{"b": 1}'] * 200_000) + b"]}"),
        (list[Literal["a", "b"]], b'["' + b"x" * 1_000_000 + b'"]'),
        (Lenient, b'{"' + b"x" * 1_000_000 + b'": 1}'),
        (Strict, b'{"' + b"x" * 1_000_000 + b'": 1}'),
    ],
)
async def test_a_422_is_short_and_quick(handled: Handled, kind: Any, body: bytes) -> None:
    async def handler(it: Any) -> None: ...

    handler.__annotations__["it"] = kind
    call = handled(handler)
    looked = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal looked
        looked += event == "call"

    sys.setprofile(count)
    try:
        response = await call("POST", "/t", body)
    finally:
        sys.setprofile(None)
    assert response.status == 422
    assert len(response.body) < 5000
    assert looked < 100_000


# Invalid handlers.


class Recursive:
    __wrapped__: Any

    async def __call__(self, n: int) -> Any:
        return n


async def none_at_all(it: None) -> None: ...


async def a_response(it: Response) -> None: ...


async def bytes_or_more(it: bytes | int) -> None: ...


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (7, "its arguments cannot be determined"),
        (none_at_all, "parameter `it`: nothing in a request is of type NoneType"),
        (a_response, "parameter `it`: nothing in a request is of type Response"),
        (bytes_or_more, "parameter `it`: nothing in a request is of type bytes | int"),
    ],
)
def test_invalid_handlers(handled: Handled, handler: Any, why: str) -> None:
    with pytest.raises(PluginError) as caught:
        handled(handler)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_handler_that_wraps_itself(handled: Handled) -> None:
    handler = Recursive()
    handler.__wrapped__ = handler
    with pytest.raises(PluginError, match="its arguments cannot be determined"):
        handled(handler)
