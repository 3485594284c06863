"""The table finds the same route as a search of all patterns, at a constant cost."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq import HTTPError, PluginError, Router
from trizmq.app.matching import Table
from trizmq.app.path_patterns import Parameter, parse_pattern
from trizmq.app.router import Route

if TYPE_CHECKING:
    from types import FrameType


def table(*routes: str, **converters: Any) -> Table[str]:
    """Create a table whose targets are the routes themselves: ``"GET /users/{id}"``."""
    router = Router(converters=converters)
    for text in routes:
        method, pattern = text.split()
        router.route(pattern, [method], name=text)(print)
    return Table((route, route.name) for route in router.routes)


USERS = table(
    "GET /users",
    "POST /users",
    "GET /users/me",
    "GET /users/{n:int}",
    "HEAD /users/{n:int}",
    "GET /users/{x:float}",
    "GET /users/{u:uuid}",
    "GET /users/{name}",
    "DELETE /users/{who}",
    "GET /users/{name}/items/{item}",
    "GET /users/me/{rest:path}",
    "OPTIONS /users/{name}/options",
)
ID = "0e984725-c51c-4bf4-9960-e1c80e27aba0"


@pytest.mark.parametrize(
    ("method", "path", "target", "values"),
    [
        ("GET", "/users", "GET /users", {}),
        ("POST", "/users", "POST /users", {}),
        ("GET", "/users/me", "GET /users/me", {}),
        ("GET", "/users/1", "GET /users/{n:int}", {"n": 1}),
        ("GET", "/users/1.5", "GET /users/{x:float}", {"x": 1.5}),
        ("GET", f"/users/{ID}", "GET /users/{u:uuid}", None),
        ("GET", "/users/ada", "GET /users/{name}", {"name": "ada"}),
        # The method is part of the route: a literal does not hide routes for other methods.
        ("DELETE", "/users/me", "DELETE /users/{who}", {"who": "me"}),
        ("DELETE", "/users/1", "DELETE /users/{who}", {"who": "1"}),
        # Backtracking from a literal, and from a converter.
        ("GET", "/users/me/items/1", "GET /users/me/{rest:path}", {"rest": "items/1"}),
        ("GET", "/users/1/items/2", "GET /users/{name}/items/{item}", {"name": "1", "item": "2"}),
        ("GET", "/users/me/a/", "GET /users/me/{rest:path}", {"rest": "a/"}),
        # GET serves HEAD, unless HEAD has its own route.
        ("HEAD", "/users/me", "GET /users/me", {}),
        ("HEAD", "/users/1", "HEAD /users/{n:int}", {"n": 1}),
        # Decoded once, after the path is split.
        ("GET", "/users/a%2Fb", "GET /users/{name}", {"name": "a/b"}),
        ("GET", "/users/a%252Fb", "GET /users/{name}", {"name": "a%2Fb"}),
        ("GET", "/users/%C3%BC", "GET /users/{name}", {"name": "ü"}),
        ("GET", "/users/a+b", "GET /users/{name}", {"name": "a+b"}),
        ("GET", "/us%65rs/m%65", "GET /users/me", {}),
        ("GET", "/users/%31", "GET /users/{n:int}", {"n": 1}),
        ("GET", "/users/me/a%2Fb/c", "GET /users/me/{rest:path}", {"rest": "a/b/c"}),
    ],
)
def test_a_path_leads_to_its_route(
    method: str, path: str, target: str, values: dict[str, Any] | None
) -> None:
    found = USERS.match(method, path)
    assert found is not None
    assert found[0] == target
    assert values is None or found[1] == values


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "users", "x/users", "//users", "/users/", "/users//items/1", "/users/a/"),
        *(
            "/nothing",
            "/users/ada/items/1/2",
            "/users/me/",
            "/users/me//x",
            "/Users",
            "/users%2Fme",
        ),
    ],
)
def test_a_path_that_leads_nowhere(path: str) -> None:
    assert USERS.match("GET", path) is None
    assert not USERS.allowed(path)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/users", {"GET", "HEAD", "POST"}),
        ("/users/me", {"GET", "HEAD", "DELETE"}),
        ("/users/1", {"GET", "HEAD", "DELETE"}),
        ("/users/ada/options", {"OPTIONS"}),
    ],
)
def test_allowed_lists_the_methods_of_all_routes_of_the_path(path: str, methods: set[str]) -> None:
    assert USERS.allowed(path) == methods
    assert USERS.match("PATCH", path) is None


@pytest.mark.parametrize("path", ["/users/%", "/users/%f", "/users/%zz", "/%C3/users", "/x/%FF"])
def test_a_malformed_escape_is_a_400(path: str) -> None:
    for ask in (lambda: USERS.match("GET", path), lambda: USERS.allowed(path)):
        with pytest.raises(HTTPError) as caught:
            ask()
        assert caught.value.status == 400


def test_of_two_converters_the_first_registered_wins() -> None:
    def odd(text: str) -> int:
        if int(text) % 2:
            return int(text)
        raise ValueError(text)

    routes = table("GET /a/{x:odd}", "GET /a/{x:int}", odd=odd)
    assert routes.match("GET", "/a/3") == ("GET /a/{x:odd}", {"x": 3})
    assert routes.match("GET", "/a/4") == ("GET /a/{x:int}", {"x": 4})


def test_values_are_not_shared_between_matches() -> None:
    first, second = USERS.match("GET", "/users"), USERS.match("GET", "/users")
    assert first is not None
    assert second is not None
    assert first[1] is not second[1]


def test_two_routers_that_take_the_same_paths() -> None:
    routes = [
        Route(methods=("GET",), pattern=p, handler=print, name=p, segments=parse_pattern(p, {}))
        for p in ("/a/{x}", "/a/{y}")
    ]
    with pytest.raises(PluginError, match=r"GET /a/{y} .* collides with GET /a/{x} "):
        Table((route, route) for route in routes)


# A reference without a trie: of all routes whose pattern matches, the best by its segments.

SEGMENTS = ["a", "b", "1", "{p}", "{p:int}", "{p:float}", "{p:path}"]
PARTS = ["a", "b", "c", "1", "-2", "1.5", "", "%61", "x%2Fy", "%31"]


@st.composite
def route_texts(draw: st.DrawFn) -> str:
    segments = draw(st.lists(st.sampled_from(SEGMENTS[:-1]), min_size=1, max_size=4))
    segments += draw(st.sampled_from([[], [SEGMENTS[-1]]]))
    named = [segment.replace("p", f"p{at}", 1) for at, segment in enumerate(segments)]
    return f"{draw(st.sampled_from(['GET', 'PUT', 'HEAD']))} /{'/'.join(named)}"


def naive_values(route: str, path: str) -> dict[str, Any] | None:
    segments = parse_pattern(route.split()[1], {})
    parts = [unquote(part) for part in path[1:].split("/")]
    values = dict[str, Any]()
    if isinstance(segments[-1], Parameter) and segments[-1].is_rest:
        head = len(segments) - 1
        if not "".join(parts[head : head + 1]):
            return None
        parts[head:] = ["/".join(parts[head:])]
    if len(parts) != len(segments):
        return None
    for segment, part in zip(segments, parts, strict=True):
        if isinstance(segment, str):
            if segment != part:
                return None
            continue
        try:
            values[segment.name] = segment.convert(part)
        except ValueError:
            return None
        if not part:
            return None
    return values


def naive_rank(route: str, routes: list[str]) -> list[int]:
    """Return the order in which the trie tries patterns, segment by segment: lower is first."""
    ranks, prefix = list[int](), route.split()[1].split("/")[1:]
    for depth, segment in enumerate(parse_pattern(route.split()[1], {})):
        if isinstance(segment, str):
            ranks.append(-1)
        elif segment.is_plain:
            ranks.append(1000)
        elif segment.is_rest:
            ranks.append(1001)
        else:
            at = prefix[: depth + 1]
            ranks.append(
                next(i for i, r in enumerate(routes) if same(r.split()[1].split("/")[1:], at))
            )
    return ranks


def same(pattern: list[str], prefix: list[str]) -> bool:
    return pattern[: len(prefix)] == prefix


@given(
    routes=st.lists(route_texts(), min_size=1, max_size=12, unique=True),
    parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=5),
    method=st.sampled_from(["GET", "PUT", "HEAD", "DELETE"]),
)
def test_the_table_agrees_with_a_reader_of_all_patterns(
    routes: list[str], parts: list[str], method: str
) -> None:
    path = "/" + "/".join(parts)
    fitting = {route: v for route in routes if (v := naive_values(route, path)) is not None}
    takes = {route.split()[0] for route in fitting}
    assert table(*routes).allowed(path) == (takes | {"HEAD"} if "GET" in takes else takes)

    def answers(route: str) -> bool:
        own, pattern = route.split()
        gets = method == "HEAD" and own == "GET" and f"HEAD {pattern}" not in routes
        return own == method or gets

    best = sorted(filter(answers, fitting), key=lambda route: naive_rank(route, routes))
    found = table(*routes).match(method, path)
    assert found == ((best[0], fitting[best[0]]) if best else None)


@pytest.mark.parametrize("path", ["/s/static/5", "/s/r5/7/x", "/s/p5/a%2Fb", "/s/p5/x/y/z"])
def test_the_number_of_steps_does_not_depend_on_the_number_of_routes(path: str) -> None:
    few, many = (
        table(
            *(f"GET /s/static/{i}" for i in range(size)),
            *(f"GET /s/r{i}/{{n:int}}/{{name}}" for i in range(size)),
            *(f"GET /s/p{i}/{{rest:path}}" for i in range(size)),
        )
        for size in (10, 3_400)
    )
    assert few.match("GET", path) == many.match("GET", path) is not None
    assert steps(few, path) == steps(many, path)


def steps(routes: Table[str], path: str) -> Counter[str]:
    """Count the calls of Python and C functions during one match."""
    counter: Counter[str] = Counter()

    def count(_: FrameType, event: str, __: object) -> None:
        counter[event] += 1

    sys.setprofile(count)
    try:
        routes.match("GET", path)
    finally:
        sys.setprofile(None)
    return counter
