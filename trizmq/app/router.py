"""The router: where a plugin writes down its routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypedDict, TypeVar, Unpack, final

from ..names import is_method
from .hookspecs import Route
from .patterns import CONVERTERS, Converter, Shape, check_segments, parse_pattern, shape_of

__all__ = ["METHODS", "Router"]

F = TypeVar("F", bound=Callable[..., Any])

#: What `Router.any` answers to.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_CONVERTER_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Options(TypedDict, total=False):
    """What can be said of a route besides its methods and pattern; see `Router.route`."""

    public: bool
    scopes: Iterable[str] | str
    inline: bool
    name: str | None


@final
class Router:
    """Routes, in the order in which they were registered.

    Args:
      prefix: put before each pattern: with ``"/users"``, the pattern ``""`` is ``/users``.
      converters: own kinds of parameters: ``{"hex": parse}`` makes ``{colour:hex}`` match
        the segments that ``parse`` takes, and hands on what it returns; it raises
        ValueError for those it does not take. It must not wait.

    Raises:
      ValueError: if the prefix or a converter's name cannot be.

    """

    def __init__(
        self, prefix: str = "", *, converters: Mapping[str, Converter] | None = None
    ) -> None:
        self._converters = dict(converters or {})
        for name in self._converters:
            if name in CONVERTERS or not _CONVERTER_NAME.fullmatch(name):
                raise ValueError(f"a converter cannot be named {name!r}")
        self._prefix = prefix
        self._before = parse_pattern(prefix, self._converters)
        self._routes: list[Route] = []
        self._taken: dict[tuple[str, Shape], Route] = {}
        self._included = False

    @property
    def routes(self) -> tuple[Route, ...]:
        """What was registered so far."""
        return tuple(self._routes)

    def route(
        self,
        pattern: str,
        methods: Iterable[str],
        *,
        public: bool = False,
        scopes: Iterable[str] | str = (),
        inline: bool = False,
        name: str | None = None,
    ) -> Callable[[F], F]:
        """Register the decorated handler for ``methods`` of ``pattern``.

        Args:
          pattern: ``/users/{user_id:int}``: literals, and parameters that are whole
            segments. Converters: ``str`` (the default), ``int``, ``float``, ``uuid``,
            ``path`` (the rest of the path; last) and the router's own. Of patterns that
            match one path, a literal wins over a converter, a converter over ``{name}``,
            ``{name}`` over ``path``; of two converters, the one registered first.
          methods: ``["GET", "POST"]``, in any case.
          public: anybody may call it, though an auth plugin is loaded.
          scopes: what the caller's principal must have been granted.
          inline: call a ``def`` handler in the Trio thread, not in one of its own.
          name: for listings and logs.

        Raises:
          ValueError: for a pattern that cannot be, or one that is taken, naming both.

        """
        declare = partial(
            Route,
            methods=_methods(methods),
            pattern=pattern,
            public=public,
            scopes=(scopes,) if isinstance(scopes, str) else tuple(scopes),
            inline=inline,
            segments=parse_pattern(pattern, self._converters),
        )

        def register(handler: F) -> F:
            called = name or str(getattr(handler, "__name__", type(handler).__name__))
            self._add(declare(handler=handler, name=called))
            return handler

        return register

    def get(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for GET; it answers HEAD too, unless that is registered."""
        return self.route(pattern, ["GET"], **options)

    def post(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for POST."""
        return self.route(pattern, ["POST"], **options)

    def put(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for PUT."""
        return self.route(pattern, ["PUT"], **options)

    def patch(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for PATCH."""
        return self.route(pattern, ["PATCH"], **options)

    def delete(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for DELETE."""
        return self.route(pattern, ["DELETE"], **options)

    def head(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for HEAD; whatever the handler returns, no body is sent."""
        return self.route(pattern, ["HEAD"], **options)

    def options(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for OPTIONS, in place of the 204 that lists the methods."""
        return self.route(pattern, ["OPTIONS"], **options)

    def any(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for every method of `METHODS`."""
        return self.route(pattern, METHODS, **options)

    def include(self, router: Router, prefix: str = "") -> None:
        """Register every route of ``router``, with ``prefix`` before its pattern.

        ``router`` is complete then: what were registered later would be missed, and so is
        refused.

        Raises:
          ValueError: if the prefix cannot be, or a route is taken.

        """
        between = parse_pattern(prefix, self._converters)
        for route in router.routes:
            after = between + route.segments
            self._add(replace(route, pattern=prefix + route.pattern, segments=after))
        router._included = True

    def _add(self, tail: Route) -> None:
        pattern, segments = self._prefix + tail.pattern, self._before + tail.segments
        check_segments(pattern, segments)
        route = replace(tail, pattern=pattern, segments=segments)
        if self._included:
            raise ValueError(f"{route}: register it before its router is included in another")
        self._claim(route)
        self._routes.append(route)

    def _claim(self, route: Route) -> None:
        for method in route.methods:
            taken = self._taken.setdefault((method, shape_of(route.segments)), route)
            if taken is not route:
                raise ValueError(f"{route} collides with {taken}: they match the same paths")


def _methods(methods: Iterable[str]) -> tuple[str, ...]:
    given = [methods] if isinstance(methods, str) else methods
    wanted = tuple(dict.fromkeys(name.upper() for name in given))
    if not wanted or not all(map(is_method, wanted)):
        raise ValueError(f"methods are words such as 'GET', got {wanted}")
    return wanted
