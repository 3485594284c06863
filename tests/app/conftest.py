"""Fixtures that create plugins, and apps to call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import pytest
import trio

from trizmq import Headers, Principal, Request, Response, Router, hookimpl
from trizmq.app.application import App

Call: TypeAlias = Callable[..., Awaitable[Response]]


class MakePlugin(Protocol):
    def __call__(self, name: str, **hooks: Any) -> ModuleType: ...


@pytest.fixture
def ctrl_c() -> KeyboardInterrupt:
    """Raise KeyboardInterrupt as Ctrl-C does in a Trio program: from Trio's signal handler."""
    place = str(Path(trio.__file__).parent / "_core" / "_ki.py")
    try:
        exec(compile("raise KeyboardInterrupt", place, "exec"))
    except KeyboardInterrupt as error:
        return error
    raise AssertionError


@pytest.fixture
def make_plugin() -> MakePlugin:
    """Return a module named ``name`` with hooks named ``trizmq_`` plus the keywords.

    A value that is not a function becomes a hook that returns it.
    """

    def make(name: str, **hooks: Any) -> ModuleType:
        module = ModuleType(name)
        for hook, given in hooks.items():
            function = (
                given if callable(given) and not isinstance(given, type) else returning(given)
            )
            setattr(module, f"trizmq_{hook}", hookimpl(function))
        return module

    return make


def returning(value: Any) -> Callable[[], Any]:
    return lambda: value


@pytest.fixture
def calling() -> Callable[[App], Call]:
    """Call `App.handle` like a client."""

    def of(app: App) -> Call:
        async def call(
            method: str,
            target: str,
            body: bytes = b"",
            principal: Principal | None = None,
            **headers: str,
        ) -> Response:
            parts = urlsplit(target)
            response = await app.handle(
                Request(
                    method=method,
                    path=parts.path,
                    query_string=parts.query,
                    headers=Headers(headers),
                    body=body,
                    principal=principal,
                    request_id="r-1",
                )
            )
            assert response is not None
            return response

        return call

    return of


@pytest.fixture
def serving(make_plugin: MakePlugin, calling: Callable[[App], Call]) -> Callable[..., Call]:
    """Create an app with this router and, if given, these preconditions, and call it."""

    def of(router: Router, *preconditions: Any, **options: Any) -> Call:
        guards = [
            make_plugin(f"guard{number}", precondition=lambda route, guard=guard: guard)
            for number, guard in enumerate(preconditions)
        ]
        return calling(App([*guards, make_plugin("things", register_routes=router)], **options))

    return of


@pytest.fixture
def handled(serving: Callable[..., Call]) -> Callable[..., Call]:
    """Create an app with a single route for any method of ``pattern``, and call it."""

    def of(
        handler: Any,
        pattern: str = "/t",
        *,
        inline: bool = False,
        converters: dict[str, Any] | None = None,
        **options: Any,
    ) -> Call:
        router = Router(converters=converters)
        router.any(pattern, inline=inline)(handler)
        return serving(router, **options)

    return of
