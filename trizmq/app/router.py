"""The router, which plugins use to register their routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, Unpack, final

from ..name_rules import is_method
from .path_patterns import CONVERTERS, Converter, Shape, check_segments, parse_pattern, shape_of

if TYPE_CHECKING:
    from .path_patterns import Segment

__all__ = ["METHODS", "Route", "Router"]

F = TypeVar("F", bound=Callable[..., Any])

#: The methods of `Router.any`.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_CONVERTER_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Options(TypedDict, total=False):
    """Options of a route besides its methods and pattern; see `Router.route`."""

    public: bool
    scopes: Iterable[str] | str
    inline: bool
    name: str | None


@final
class Router:
    """A list of routes, in order of registration.

    Args:
      prefix: precedes every pattern: with ``"/users"``, the pattern ``""`` is ``/users``.
      converters: additional converters: with ``{"hex": parse}``, ``{colour:hex}`` matches
        the segments that ``parse`` accepts, and its value is the result. ``parse`` raises
        ValueError for segments that it does not accept, and must not block.

    Raises:
      ValueError: if the prefix or the name of a converter is invalid.

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
        """The routes that have been registered so far."""
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
            segments. Converters are ``str`` (the default), ``int``, ``float``, ``uuid``,
            ``path`` (the rest of the path; must be last) and the router's own. If several
            patterns match a path, literals take precedence over converters, converters over
            ``{name}``, and ``{name}`` over ``path``; of two converters, the one that was
            registered first.
          methods: ``["GET", "POST"]``, in upper or lower case.
          public: the route needs no token, even if an auth plugin is loaded.
          scopes: scopes that the caller's principal needs.
          inline: call a ``def`` handler in the Trio thread instead of a separate thread.
          name: for listings and logs.

        Raises:
          ValueError: for an invalid pattern, or one that is already registered; the error
            names both.

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
        """`route` for GET; it also serves HEAD, unless HEAD is registered."""
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
        """`route` for HEAD; no body is sent, whatever the handler returns."""
        return self.route(pattern, ["HEAD"], **options)

    def options(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for OPTIONS, instead of the 204 that lists the methods."""
        return self.route(pattern, ["OPTIONS"], **options)

    def any(self, pattern: str, **options: Unpack[Options]) -> Callable[[F], F]:
        """`route` for all methods in `METHODS`."""
        return self.route(pattern, METHODS, **options)

    def include(self, router: Router, prefix: str = "") -> None:
        """Register all routes of ``router``, with ``prefix`` before their patterns.

        ``router`` is complete afterwards: routes that were registered later would be missed,
        so they are refused.

        Raises:
          ValueError: if the prefix is invalid, or a route is already registered.

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


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A pattern and its handler, as registered with a router.

    Attributes:
      methods: in upper case: ``("GET",)``.
      pattern: with all prefixes: ``"/users/{user_id:int}"``.
      handler: the plugin's function.
      public: whether the route needs no token; enforced by plugins such as auth.
      scopes: scopes that a principal needs, all of them; enforced in the same way.
      inline: whether a ``def`` handler runs in the Trio thread, where it must not block.
      name: for listings and logs; by default the handler's name.
      plugin: the name of its plugin; empty until the plugin is loaded.
      segments: the parsed pattern.

    """

    methods: tuple[str, ...]
    pattern: str
    handler: Callable[..., Any]
    public: bool = False
    scopes: tuple[str, ...] = ()
    inline: bool = False
    name: str = ""
    plugin: str = ""
    segments: tuple[Segment, ...] = field(default=(), repr=False)

    @property
    def service(self) -> str:
        """The first segment of the pattern."""
        return self.pattern[1:].partition("/")[0]

    @property
    def doc(self) -> str:
        """The first line of the handler's docstring."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0]

    def __str__(self) -> str:
        owner = f", plugin {self.plugin!r}" if self.plugin else ""
        return f"{','.join(self.methods)} {self.pattern} ({self.name}{owner})"
