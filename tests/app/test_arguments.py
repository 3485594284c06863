"""Each parameter of a handler gets its value, or the caller gets an error that explains why."""

from __future__ import annotations

import dataclasses
import datetime  # noqa: TC003 (handlers' annotations are read at run time)
import enum
import functools
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID  # noqa: TC003 (likewise)

import msgspec
import pytest

from trizmq import PluginError, Principal, Request, Response

if TYPE_CHECKING:
    from decimal import Decimal

Call = Callable[..., Awaitable[Response]]
Handled = Callable[..., Call]
ID = "0e984725-c51c-4bf4-9960-e1c80e27aba0"
UserId = NewType("UserId", int)
ADA = Principal("ada")


class Pool(msgspec.Struct):
    size: int = 1


class User(msgspec.Struct):
    name: str
    age: int = 0
    pool: Pool = msgspec.field(default_factory=Pool)


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    name: str = ""


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    tricks: int


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass(slots=True)
class Slotted:
    x: int
    y: int = 0


@dataclasses.dataclass
class Line:
    start: Point
    end: Point | None = None
    more: list[Point] = dataclasses.field(default_factory=list)
    by_name: dict[str, Point] = dataclasses.field(default_factory=dict)


class Movie(TypedDict):
    title: str


class Pair(NamedTuple):
    a: int
    b: int


class Colour(enum.Enum):
    RED = "red"


async def path_int(n: int) -> Any:
    return n


async def path_bare(n) -> Any:  # type: ignore[no-untyped-def]  # a handler may be so
    return n


async def path_uuid(u: UUID) -> Any:
    return u


async def path_new_type(n: UserId) -> Any:
    return n


async def path_union(n: int | str) -> Any:
    return n


async def path_enum(c: Colour) -> Any:
    return c


async def path_any(c: Pool) -> Any:
    return str(c)


async def path_limited(n: Annotated[int, msgspec.Meta(ge=10)]) -> Any:
    return n


async def path_type_checking_only(n: Decimal) -> Any:
    return n


@pytest.mark.parametrize(
    ("handler", "pattern", "path", "value"),
    [
        (path_int, "/t/{n:int}", "/t/7", 7),
        (path_bare, "/t/{n:int}", "/t/7", 7),
        (path_bare, "/t/{n}", "/t/7", "7"),
        (path_uuid, "/t/{u:uuid}", f"/t/{ID}", ID),
        (path_new_type, "/t/{n:int}", "/t/7", 7),
        (path_union, "/t/{n}", "/t/7", "7"),
        (path_enum, "/t/{c:colour}", "/t/red", "red"),
        (path_any, "/t/{c:any}", "/t/x", "x"),
        (path_limited, "/t/{n:int}", "/t/10", 10),
        (path_type_checking_only, "/t/{n:int}", "/t/7", 7),
    ],
)
async def test_path_parameters_come_by_name(
    handled: Handled, handler: Any, pattern: str, path: str, value: object
) -> None:
    converters = {"colour": Colour, "any": lambda text: text}
    response = await handled(handler, pattern, converters=converters)("GET", path)
    assert (response.status, response.json()) == (200, value)


async def test_an_annotated_path_parameter_keeps_its_limits(handled: Handled) -> None:
    response = await handled(path_limited, "/t/{n:int}")("GET", "/t/9")
    assert response.status == 422
    assert response.json()["detail"] == "path parameter `n`: Expected `int` >= 10"


@pytest.mark.parametrize(
    ("handler", "pattern", "why"),
    [
        (path_int, "/t/{n}", "parameter `n`: the pattern makes it str, but the annotation is int"),
        (path_uuid, "/t/{u:int}", "the pattern makes it int, but the annotation is UUID"),
        (path_union, "/t/{n:uuid}", r"makes it UUID, but the annotation is int \| str"),
    ],
)
def test_pattern_and_annotation_agree(
    handled: Handled, handler: Any, pattern: str, why: str
) -> None:
    with pytest.raises(PluginError, match=why) as caught:
        handled(handler, pattern)
    assert pattern in str(caught.value)


async def query_all(
    page: int,
    name: str = "?",
    tags: list[str] = [],  # noqa: B006 (nobody changes it)
    ids: frozenset[int] = frozenset(),
    since: datetime.date | None = None,
    deep: bool = False,
    colour: Colour = Colour.RED,
    order: Literal["up", "down"] = "up",
    uid: UUID | None = None,
    ratio: float = 0.5,
) -> Any:
    return [page, name, tags, sorted(ids), since, deep, colour, order, uid, ratio]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("page=2", [2, "?", [], [], None, False, "red", "up", None, 0.5]),
        ("page=1&page=2", [2, "?", [], [], None, False, "red", "up", None, 0.5]),
        (
            f"page=2&name=a+b%26&tags=x&tags=y&ids=2&ids=1&since=2024-01-02&deep=true&colour=red"
            f"&order=down&uid={ID}&ratio=2&more=1",
            [2, "a b&", ["x", "y"], [1, 2], "2024-01-02", True, "red", "down", ID, 2.0],
        ),
    ],
)
async def test_scalars_come_from_the_query(
    handled: Handled, query: str, values: list[object]
) -> None:
    response = await handled(query_all)("GET", f"/t?{query}")
    assert (response.status, response.json()) == (200, values)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "query parameter `page` is missing"),
        ("page=", "query parameter `page`: Expected `int`, got `str`"),
        ("page=1&ids=x", "query parameter `ids`: Expected `int`, got `str` - at `$[0]`"),
        ("page=1&order=left", "query parameter `order`: Invalid enum value 'left'"),
    ],
)
async def test_a_query_that_does_not_fit_is_a_422_that_names_it(
    handled: Handled, query: str, detail: str
) -> None:
    response = await handled(query_all)("GET", f"/t?{query}")
    assert response.status == 422
    assert response.json()["detail"] == detail
    assert response.json()["executed"] == "no"
    assert response.json()["request_id"] == "r-1"


async def optional(page: int | None, who: Principal | None, user: User | None) -> Any:
    return [page, who, user]


async def test_an_argument_that_may_be_none_is_optional(handled: Handled) -> None:
    call = handled(optional)
    assert (await call("GET", "/t")).json() == [None, None, None]
    full = await call("GET", "/t?page=1", b'{"name": "x"}', ADA)
    assert full.json() == [1, ["ada", []], {"name": "x", "age": 0, "pool": {"size": 1}}]


async def principal(who: Principal) -> Any:
    return who.name


async def test_a_principal_or_a_401(handled: Handled) -> None:
    call = handled(principal)
    assert (await call("GET", "/t", principal=ADA)).json() == "ada"
    refused = await call("GET", "/t")
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.json()["executed"] == "no"


async def whole(request: Request, raw: bytes) -> Any:
    return [request.method, request.route, request.path_params, raw.decode()]


async def test_the_request_itself_and_the_raw_body(handled: Handled) -> None:
    call = handled(whole, "/t/{n:int}")
    assert (await call("PUT", "/t/1", b"{")).json() == ["PUT", "/t/{n:int}", {"n": 1}, "{"]


async def body_struct(user: User) -> Any:
    return user


async def body_dataclass(point: Point) -> Any:
    return point


async def body_slotted(points: list[Slotted | None]) -> Any:
    return points


async def body_line(line: Line) -> Any:
    return line


async def body_lines(lines: dict[str, Line]) -> Any:
    return lines


async def body_typed_dict(movie: Movie) -> Any:
    return movie


async def body_named_tuple(pair: Pair) -> Any:
    return pair


async def body_list(users: list[User]) -> Any:
    return users


async def body_any_list(things: list) -> Any:  # type: ignore[type-arg]  # a handler may be so
    return things


async def body_dict(counts: dict[str, int]) -> Any:
    return counts


async def body_union(pet: Cat | Dog) -> Any:
    return pet


async def body_default(user: User = User("nobody")) -> Any:  # noqa: B008 (nobody changes it)
    return user.name


async def body_annotated(
    user: Annotated[User, msgspec.Meta(extra_json_schema={"title": "U"})],
) -> Any:
    return user.name


ONE_LINE: dict[str, Any] = {"start": {"x": 1, "y": 0}, "end": None, "more": [], "by_name": {}}


@pytest.mark.parametrize(
    ("handler", "body", "value"),
    [
        (body_struct, {"name": "x", "more": 1}, {"name": "x", "age": 0, "pool": {"size": 1}}),
        (body_dataclass, {"x": 1}, {"x": 1, "y": 0}),
        (body_slotted, [{"x": 1}, None], [{"x": 1, "y": 0}, None]),
        (body_line, {"start": {"x": 1}}, ONE_LINE),
        (body_lines, {"a": {"start": {"x": 1}, "end": None}}, {"a": ONE_LINE}),
        (
            body_line,
            {"start": {"x": 1}, "more": [{"x": 2}], "by_name": {"a": {"x": 3}}},
            {**ONE_LINE, "more": [{"x": 2, "y": 0}], "by_name": {"a": {"x": 3, "y": 0}}},
        ),
        (body_typed_dict, {"title": "x"}, {"title": "x"}),
        (body_named_tuple, [1, 2], [1, 2]),
        (body_list, [{"name": "x", "age": 3}], [{"name": "x", "age": 3, "pool": {"size": 1}}]),
        (body_any_list, [1, "a"], [1, "a"]),
        (body_dict, {"a": 1}, {"a": 1}),
        (body_union, {"type": "Dog", "tricks": 3}, {"type": "Dog", "tricks": 3}),
        (body_default, {"name": "x"}, "x"),
        (body_default, None, "nobody"),
        (body_annotated, {"name": "x"}, "x"),
    ],
)
async def test_documents_come_from_the_body(
    handled: Handled, handler: Any, body: object, value: object
) -> None:
    content = b"" if body is None else json.dumps(body).encode()
    response = await handled(handler)("POST", "/t", content)
    assert (response.status, response.json()) == (200, value)


async def body_strict(it: Strict) -> Any:
    return it


@pytest.mark.parametrize(
    ("handler", "body", "status", "detail"),
    [
        (body_struct, b'{"nme": 1}', 422, "missing required field `name` (not known: `nme`)"),
        (body_struct, b'{"name": 1}', 422, "Expected `str`, got `int` - at `$.name`"),
        (
            body_struct,
            b'{"name": "x", "pool": {"size": "1", "sice": 1}}',
            422,
            "Expected `int`, got `str` - at `$.pool.size` (not known: `pool.sice`)",
        ),
        (body_struct, b"[1]", 422, "Expected `object`, got `array`"),
        (body_struct, b'{"name": 1', 422, "Expected `str`, got `int` - at `$.name`"),
        (body_strict, b'{"nme": 1}', 422, "Object contains unknown field `nme`"),
        (body_union, b'{"type": "Cow"}', 422, "Invalid value 'Cow' - at `$.type`"),
        (body_struct, b"", 400, "the body is not JSON: Input data was truncated"),
        (body_struct, b"{", 400, "the body is not JSON"),
        (body_struct, b'{"name": "\xff"}', 400, "the body is not JSON"),
        (body_struct, b'{"more": ' + b"[" * 100_000, 400, "the body is not JSON"),
        (body_any_list, b"[" * 100_000, 400, "the body is not JSON"),
    ],
)
async def test_a_body_that_does_not_fit(
    handled: Handled, handler: Any, body: bytes, status: int, detail: str
) -> None:
    response = await handled(handler)("POST", "/t", body)
    assert response.status == status
    assert detail in response.json()["detail"]
    assert response.json()["executed"] == "no"


class Counter:
    """A handler that is not a function."""

    async def __call__(self, n: int) -> Any:
        return n

    async def method(self, n: int) -> Any:
        return n


async def two(n: int, m: int) -> Any:
    return n


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    "handler",
    [Counter(), Counter().method, functools.partial(two, m=1), decorated(path_int)],
    ids=["callable", "method", "partial", "decorated"],
)
async def test_whatever_can_be_awaited_is_a_handler(handled: Handled, handler: Any) -> None:
    assert (await handled(handler)("GET", "/t?n=7")).json() == 7


async def by_name_only(a: int, /, b: int, *, user: User, c: int = 3) -> Any:
    return [a, b, c, user.name]


def in_thread_by_name_only(a: int, *, b: int) -> Any:
    return [a, b]


async def test_parameters_of_every_kind(handled: Handled) -> None:
    call = handled(by_name_only, "/t/{b:int}")
    assert (await call("GET", "/t/2?a=1&c=4", b'{"name": "x"}')).json() == [1, 2, 4, "x"]
    call = handled(in_thread_by_name_only)
    assert (await call("GET", "/t?a=1&b=2")).json() == [1, 2]


async def no_annotation(x) -> None: ...  # type: ignore[no-untyped-def]  # what is refused


async def star(*args: int) -> None: ...


async def stars(**kwargs: int) -> None: ...


async def an_object(x: object) -> None: ...


async def a_callable(x: Callable[[], int]) -> None: ...


async def mixed(x: User | int) -> None: ...


async def untagged(x: User | Pool) -> None: ...


async def two_bodies(a: User, b: bytes) -> None: ...


async def unknown(x: Decimal) -> None: ...


async def misspelt(x: json.Nothing) -> None: ...  # type: ignore[name-defined]  # what is refused


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (no_annotation, "parameter `x`: it is not in the pattern and has no annotation"),
        (star, "parameter `args`: a handler names its arguments"),
        (stars, "parameter `kwargs`: a handler names its arguments"),
        (an_object, "parameter `x`: nothing in a request is of type object"),
        (a_callable, "parameter `x`: nothing in a request is of type "),
        (mixed, "parameter `x`: nothing in a request is of type "),
        (untagged, "parameter `x`: If a type union contains multiple Struct types"),
        (two_bodies, "`a` and `b` cannot both be the body"),
        (unknown, "parameter `x`: `Decimal` is not known at run time: import it outside"),
        (misspelt, "parameter `x`: module 'json' has no attribute 'Nothing'"),
    ],
)
def test_an_uncallable_handler_stops_the_start(handled: Handled, handler: Any, why: str) -> None:
    with pytest.raises(PluginError) as caught:
        handled(handler)
    assert why in str(caught.value)
    assert f"/t ({handler.__name__}, plugin 'things')" in str(caught.value)
