"""What tests of every floor share: a server on a free port of the loopback."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import trizmq
from trizmq.service.beside import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    Serving = Callable[..., AbstractAsyncContextManager[str]]


class RoutesPlugin:
    """A plugin that is just these routes."""

    def __init__(self, routes: trizmq.Router) -> None:
        self._routes = routes

    @trizmq.hookimpl
    def trizmq_register_routes(self) -> trizmq.Router:
        return self._routes


@pytest.fixture
def plugin() -> Callable[[trizmq.Router], object]:
    """Make a plugin of routes."""
    return RoutesPlugin


@pytest.fixture
def serving(tmp_path: Any) -> Serving:
    """Serve plugins, or routes, on real sockets: ``async with serving(routes) as endpoint``."""

    @asynccontextmanager
    async def serve(*plugins: object, **options: Any) -> AsyncIterator[str]:
        made = [RoutesPlugin(p) if isinstance(p, trizmq.Router) else p for p in plugins]
        options = {"bind": "tcp://127.0.0.1:*", "state_dir": tmp_path / "state", **options}
        async with running(partial(trizmq.serve, plugins=made, **options)) as endpoint:
            yield endpoint

    return serve
