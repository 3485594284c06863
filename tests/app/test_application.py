"""The app: routes and services of all plugins; collisions, wrong methods, guards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trizmq import (
    Headers,
    HTTPError,
    PluginError,
    Principal,
    Request,
    Response,
    Route,
    Router,
    hookimpl,
    problem,
)
from trizmq.app.application import App
from trizmq.app.plugins import load

Call = Callable[..., Awaitable[Response]]
Make = Callable[..., ModuleType]
Serving = Callable[..., Call]


async def nothing() -> None: ...


async def echo(request: Request) -> Any:
    return [request.method, request.route, request.path_params]


def routes(*texts: str, **options: Any) -> Router:
    """Return routes such as ``"GET /users/{id}"``, handled by `echo`."""
    router = Router()
    for text in texts:
        method, pattern = text.split()
        router.route(pattern, [method], **options)(echo)
    return router


# Routes.


def test_services_and_routes_of_an_app(make_plugin: Make) -> None:
    one = make_plugin("one", register_routes=routes("GET /b", "POST /a/{x}"))
    two = make_plugin("two", register_routes=[routes("GET /c"), *routes("GET /d").routes])
    app = App([one, two])
    assert app.services == {"a", "b", "c", "d"}
    assert [(route.pattern, route.plugin) for route in app.routes] == [
        ("/b", "one"),
        ("/a/{x}", "one"),
        ("/c", "two"),
        ("/d", "two"),
    ]
    assert [plugin.name for plugin in app.plugins] == ["one", "two"]


def test_loaded_plugins_will_do(make_plugin: Make) -> None:
    assert App(load([make_plugin("one", register_routes=routes("GET /a"))])).services == {"a"}


def test_a_service_belongs_to_one_plugin(make_plugin: Make) -> None:
    one = make_plugin("one", register_routes=routes("GET /a"))
    two = make_plugin("two", register_routes=routes("POST /a/b"))
    with pytest.raises(PluginError, match="service 'a' is offered by two plugins: 'one' and 'two'"):
        App([one, two])


def test_two_routers_of_one_plugin_that_collide(make_plugin: Make) -> None:
    plugin = make_plugin("p", register_routes=[routes("GET /a/{x}"), routes("GET /a/{y}")])
    with pytest.raises(PluginError, match=r"GET /a/{y} \(echo, plugin 'p'\) collides with GET /a/"):
        App([plugin])


@pytest.mark.parametrize("pattern", ["", "/{x}", "/a b", "/ü", f"/{'x' * 65}"])
def test_a_pattern_begins_with_a_service(make_plugin: Make, pattern: str) -> None:
    router = Router()
    router.get(pattern)(nothing)
    with pytest.raises(PluginError, match="plugin 'p': a pattern begins with the name of a serv"):
        App([make_plugin("p", register_routes=router)])


@pytest.mark.parametrize("answer", [1, "/a", [routes("GET /a"), 1]])
def test_invalid_routes(make_plugin: Make, answer: object) -> None:
    with pytest.raises(PluginError, match="plugin 'p': trizmq_register_routes returned"):
        App([make_plugin("p", register_routes=answer)])


async def test_the_request_learns_its_route(serving: Serving) -> None:
    call = serving(routes("GET /a/{x:int}", "GET /a"))
    assert (await call("GET", "/a/1")).json() == ["GET", "/a/{x:int}", {"x": 1}]
    assert (await call("GET", "/a")).json() == ["GET", "/a", {}]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/b", 404, None),
        ("GET", "/a/", 404, None),
        ("GET", "a", 404, None),
        ("OPTIONS", "/b", 404, None),
        ("GET", "/a/%zz", 400, None),
        ("PATCH", "/a/%zz", 400, None),
        ("PATCH", "/a/1", 405, "DELETE, GET, HEAD, OPTIONS"),
        ("GET", "/a", 405, "OPTIONS, POST"),
        ("get", "/a/1", 405, "DELETE, GET, HEAD, OPTIONS"),
    ],
)
async def test_no_route(
    serving: Serving, method: str, path: str, status: int, allow: str | None
) -> None:
    call = serving(routes("GET /a/{x}", "DELETE /a/{x}", "POST /a"))
    response = await call(method, path)
    assert response.status == response.json()["status"] == status
    assert response.headers.get("allow") == allow
    assert response.content_type == "application/problem+json"
    assert (response.json()["executed"], response.json()["request_id"]) == ("no", "r-1")


async def test_options_lists_the_methods_unless_registered(serving: Serving) -> None:
    call = serving(routes("GET /a", "OPTIONS /b"))
    listed = await call("OPTIONS", "/a")
    assert (listed.status, listed.body, listed.headers) == (
        204,
        b"",
        {"allow": "GET, HEAD, OPTIONS"},
    )
    assert (await call("OPTIONS", "/b")).json() == ["OPTIONS", "/b", {}]


async def test_head_is_get_without_the_body(serving: Serving) -> None:
    router = Router()

    @router.get("/a")
    async def get() -> Response:
        return Response(200, Headers({"etag": "1"}), b"[]")

    @router.head("/b")
    async def head() -> tuple[int, str]:
        return 202, "body"

    call = serving(router)
    for path, status, headers in [("/a", 200, {"etag": "1"}), ("/b", 202, {}), ("/c", 404, None)]:
        response = await call("HEAD", path)
        assert (response.status, response.body) == (status, b"")
        assert headers is None or response.headers == headers


async def test_a_converter_that_fails_is_a_500(serving: Serving) -> None:
    colours: dict[str, int] = {}
    router = Router(converters={"bad": colours.__getitem__})
    router.get("/a/{_x:bad}")(nothing)
    response = await serving(router)("GET", "/a/1")
    assert (response.status, response.json()["executed"]) == (500, "no")


# Preconditions.


async def let_pass(request: Request) -> None: ...


async def refuse(request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return problem(403, "not you", executed="no")


def raise_http_error(request: Request) -> None:
    raise HTTPError(401, "who are you")


async def raise_in_nursery(request: Request) -> None:
    async with trio.open_nursery():
        raise HTTPError(401)


def make_principal(request: Request) -> None:
    request.principal = Principal("ada")


def broken(request: Request) -> None:
    raise ValueError("secret")


async def leave(request: Request) -> None:
    raise SystemExit


@pytest.mark.parametrize(
    ("guards", "status"),
    [
        ([], 200),
        ([lambda request: None, let_pass], 200),
        ([let_pass, refuse], 403),
        ([lambda request: Response(302)], 302),
        ([raise_http_error], 401),
        ([raise_in_nursery], 401),
        ([broken], 500),
        ([leave], 500),
        # A guard that returns neither None nor a response is broken, and lets no call pass.
        ([lambda request: Response(99)], 500),
        ([lambda request: True], 500),
        ([lambda request: False], 500),
        ([lambda request: {}], 500),
        ([lambda request: 1 / 0], 500),
    ],
)
@pytest.mark.parametrize("handler", ["async", "thread"])
async def test_preconditions_guard_the_handler(
    serving: Serving, guards: list[Any], status: int, handler: str
) -> None:
    ran = list[str]()
    router = Router()

    @router.get("/a")
    async def waits() -> list[str]:
        ran.append("async")
        return ran

    @router.get("/b")
    def returns() -> list[str]:
        ran.append("thread")
        return ran

    response = await serving(router, *guards)("GET", "/a" if handler == "async" else "/b")
    assert response.status == status
    assert ran == ([handler] if status == 200 else [])
    if status >= 400:
        assert response.json()["executed"] == "no"
        assert "secret" not in response.text


async def test_preconditions_run_in_the_order_of_the_plugins(serving: Serving) -> None:
    order = list[int]()

    def guard(number: int) -> Any:
        async def run(request: Request) -> None:
            order.append(number)

        return run

    assert (await serving(routes("GET /a"), *map(guard, range(4)))("GET", "/a")).status == 200
    assert order == [0, 1, 2, 3]


async def test_a_precondition_sees_the_route_and_sets_the_principal(serving: Serving) -> None:
    router = Router()
    seen = list[Any]()

    @router.get("/a/{x:int}")
    async def whoami(x: int, principal: Principal) -> str:
        return principal.name * x

    def look(request: Request) -> None:
        seen.extend([request.route, request.path_params])

    response = await serving(router, look, make_principal)("GET", "/a/1")
    assert (response.json(), seen) == ("ada", ["/a/{x:int}", {"x": 1}])


async def test_preconditions_are_asked_once_a_route_and_never_again(
    make_plugin: Make, calling: Callable[[App], Call]
) -> None:
    asked = list[tuple[str, bool]]()

    def precondition(route: Route) -> Any:
        asked.append((route.pattern, route.public))
        return None if route.public else refuse

    guard = make_plugin("guard", precondition=precondition)
    things = make_plugin("a", register_routes=[routes("GET /a/x"), routes("GET /a/y", public=True)])
    call = calling(App([guard, things]))
    assert [(await call("GET", path)).status for path in ("/a/x", "/a/y", "/a/x")] == [
        403,
        200,
        403,
    ]
    assert asked == [("/a/x", False), ("/a/y", True)]


def test_a_precondition_can_be_called(make_plugin: Make) -> None:
    guard = make_plugin("guard", precondition=lambda route: True)
    with pytest.raises(PluginError, match=r"GET /a .* plugin 'guard': its precondition is not"):
        App([guard, make_plugin("a", register_routes=routes("GET /a"))])


# Unusual requests.

FUZZED = Router()
FUZZED.get("/a/{x:int}/{y}")(echo)
FUZZED.any("/a/{rest:path}")(echo)


class Fuzzed:
    @hookimpl
    def trizmq_register_routes(self) -> Router:
        return FUZZED


FUZZED_APP = App([Fuzzed()])


@given(
    method=st.one_of(st.sampled_from(["GET", "HEAD", "OPTIONS"]), st.text()),
    path=st.one_of(st.text(), st.text(alphabet="/a%F12.").map("/a/".__add__)),
    body=st.binary(),
)
async def test_no_request_makes_it_raise(method: str, path: str, body: bytes) -> None:
    response = await FUZZED_APP.handle(Request(method=method, path=path, body=body))
    assert response is not None
    assert response.status in {200, 204, 400, 404, 405}
