"""A router collects routes, and refuses invalid ones immediately."""

from __future__ import annotations

import functools

import pytest

from trizmq import Router
from trizmq.app.router import METHODS


async def handler() -> None:
    """Do the thing.

    At length.
    """


async def other() -> None: ...


@pytest.mark.parametrize("method", METHODS)
def test_a_decorator_for_each_method(method: str) -> None:
    router = Router()
    assert getattr(router, method.lower())("/a")(handler) is handler
    (route,) = router.routes
    assert (route.methods, route.pattern, route.handler) == ((method,), "/a", handler)


def test_any_and_route() -> None:
    router = Router()
    router.any("/a")(handler)
    router.route("/b", ["get", "PURGE", "GET"])(handler)
    router.route("/c", "get")(handler)
    assert [route.methods for route in router.routes] == [METHODS, ("GET", "PURGE"), ("GET",)]


@pytest.mark.parametrize("methods", [[], [""], ["A B"], ["1"], ["GET\n"]])
def test_methods_are_words(methods: list[str]) -> None:
    with pytest.raises(ValueError, match="methods are words"):
        Router().route("/a", methods)


def test_a_route_keeps_its_options() -> None:
    router = Router("/things")
    router.get("/{id:int}", public=True, scopes=["a", "b"], inline=True, name="one")(handler)
    router.get("", scopes="read")(handler)
    one, every = router.routes
    assert (one.public, one.scopes, one.inline, one.name) == (True, ("a", "b"), True, "one")
    assert (every.public, every.scopes, every.inline, every.name) == (
        False,
        ("read",),
        False,
        "handler",
    )
    assert (one.service, one.doc, one.plugin) == ("things", "Do the thing.", "")
    assert str(one) == "GET /things/{id:int} (one)"


def test_a_handler_without_a_name_is_named_after_its_type() -> None:
    router = Router()
    router.get("/a")(functools.partial(handler))
    assert router.routes[0].name == "partial"


def test_no_docstring_no_doc() -> None:
    router = Router()
    router.get("/a")(other)
    assert router.routes[0].doc == ""


@pytest.mark.parametrize("options", [{"pulic": True}, {"prefix": "/x"}])
def test_an_unknown_option_is_an_error(options: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Router().get("/a", **options)  # type: ignore[arg-type]  # that is the point


def test_nesting_joins_prefixes_and_keeps_converters() -> None:
    inner = Router("/items", converters={"hex": lambda text: int(text, 16)})
    inner.get("")(handler)
    inner.get("/{item:hex}", public=True)(handler)
    outer = Router("/shop")
    outer.include(inner, prefix="/{tenant}")
    assert [route.pattern for route in outer.routes] == [
        "/shop/{tenant}/items",
        "/shop/{tenant}/items/{item:hex}",
    ]
    assert outer.routes[1].public
    assert [getattr(part, "name", part) for part in outer.routes[1].segments] == [
        "shop",
        "tenant",
        "items",
        "item",
    ]


def test_one_router_in_two_places() -> None:
    inner, outer = Router(), Router()
    inner.get("/x")(handler)
    outer.include(inner, "/a")
    outer.include(inner, "/b")
    assert [route.pattern for route in outer.routes] == ["/a/x", "/b/x"]


def test_nesting_refuses_a_name_given_twice() -> None:
    inner, outer = Router(), Router()
    inner.get("/{id}")(handler)
    with pytest.raises(ValueError, match=r"'/a/{id}/{id}' has two parameters named 'id'"):
        outer.include(inner, "/a/{id}")


def test_routes_cannot_be_added_to_an_included_router() -> None:
    inner, outer = Router(), Router()
    outer.include(inner, "/a")
    with pytest.raises(ValueError, match=r"GET /late \(handler\): register it before"):
        inner.get("/late")(handler)


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [("/a/{x}", "/a/{y}"), ("/a", "/a"), ("/a/{x:int}", "/a/{y:int}"), ("/a/:x", "/a/{y:str}")],
)
def test_two_routes_for_the_same_paths_are_refused_and_both_named(pattern: str, taken: str) -> None:
    router = Router()
    router.route(taken, ["PUT", "GET"])(other)
    with pytest.raises(ValueError, match="collides") as caught:
        router.get(pattern)(handler)
    assert f"GET {pattern} (handler)" in str(caught.value)
    assert f"PUT,GET {taken} (other)" in str(caught.value)


def test_other_methods_and_other_converters_do_not_collide() -> None:
    router = Router()
    for method, pattern in [("GET", "/a/{x}"), ("PUT", "/a/{y}"), ("GET", "/a/{x:int}")]:
        router.route(pattern, [method])(handler)
    assert len(router.routes) == 3


@pytest.mark.parametrize("prefix", ["users", "/", "/users/", "/{a}/{a}", "/a%20"])
def test_a_prefix_is_a_pattern(prefix: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Router(prefix)
    with pytest.raises(ValueError, match="pattern"):
        Router().include(Router(), prefix)


def test_a_pattern_under_a_prefix_begins_with_a_slash_too() -> None:
    with pytest.raises(ValueError, match="'me' must begin with '/'"):
        Router("/users").get("me")


@pytest.mark.parametrize("name", ["int", "path", "a b", "", "1"])
def test_converters_have_names_of_their_own(name: str) -> None:
    with pytest.raises(ValueError, match="a converter cannot be named"):
        Router(converters={name: int})
