"""Matching: finding the route for a method and a path."""

# Theory of operation. A route without parameters is found with a single lookup in a dict whose
# keys are paths as received. All other cases (parameters, percent-encoded paths, wrong methods)
# walk a trie with one level for each segment. Each node tries, in this order, its literal child,
# its children with converters in order of registration, its child for a plain `{name}`, and the
# one for `{name:path}`; if a branch leads nowhere, it backtracks and tries the next. The cost of
# neither depends on the number of routes.
#
# A leaf is reached by the path alone. If it lacks the method, the walk continues, so that
# `GET /users/me` does not hide `DELETE /users/{user_id}`.

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, final
from urllib.parse import unquote

from ..errors import HTTPError, PluginError
from .path_patterns import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .path_patterns import Converter
    from .router import Route

__all__ = ["Table"]

T = TypeVar("T")
Values: TypeAlias = tuple[Any, ...]

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@final
class _Entry(Generic[T]):
    """A target, with the names of the parameters that lead to it."""

    __slots__ = ("names", "route", "target")

    def __init__(self, route: Route, target: T) -> None:
        self.route = route
        self.target = target
        self.names = tuple(part.name for part in route.segments if isinstance(part, Parameter))

    def named(self, values: Values) -> dict[str, Any]:
        """Return ``values`` by parameter name."""
        if len(values) == 1:  # the usual case, at a fifth of the cost
            return {self.names[0]: values[0]}
        return dict(zip(self.names, values, strict=True))


@final
class _Node(Generic[T]):
    """The continuations of one prefix of a path, and the entries that end here, by method."""

    __slots__ = ("converted", "entries", "has_parameters", "literals", "plain", "rest")

    def __init__(self) -> None:
        self.entries: dict[str, _Entry[T]] = {}
        self.literals: dict[str, _Node[T]] = {}
        self.converted: dict[Converter, _Node[T]] = {}
        self.plain: _Node[T] | None = None
        self.rest: _Node[T] | None = None
        self.has_parameters = False

    def child(self, segment: str | Parameter) -> _Node[T]:
        """Return the child for a segment of a pattern, and create it on first use."""
        if isinstance(segment, str):
            return self.literals.setdefault(segment, _Node())
        self.has_parameters = True
        if segment.is_plain:
            self.plain = self.plain or _Node()
            return self.plain
        if segment.is_rest:
            self.rest = self.rest or _Node()
            return self.rest
        return self.converted.setdefault(segment.convert, _Node())


@final
class Table(Generic[T]):
    """A compiled table of routes and their targets.

    A GET route also serves HEAD, unless HEAD has its own route.

    Raises:
      PluginError: if two routes match the same method and paths; the error names both.

    """

    def __init__(self, targets: Iterable[tuple[Route, T]]) -> None:
        self._root: _Node[T] = _Node()
        self._static: dict[str, dict[str, _Entry[T]]] = {}
        leaves = [self._add(_Entry(route, target)) for route, target in targets]
        for leaf in leaves:
            if "GET" in leaf:
                leaf.setdefault("HEAD", leaf["GET"])
        self._methods = frozenset(method for leaf in leaves for method in leaf)

    def match(self, method: str, path: str) -> tuple[T, dict[str, Any]] | None:
        """Return the target and the values of the pattern's parameters.

        Each segment is percent-decoded once, after the path is split, so ``%2F`` stays inside
        its parameter.

        Raises:
          HTTPError: 400, if an escape in ``path`` is malformed or not UTF-8.

        """
        entries = self._static.get(path)
        if entries is not None and method in entries:
            return entries[method].target, {}
        segments = path.split("/")
        if segments[0]:  # it does not begin with a slash
            return None
        if "%" in path:
            segments = [_decode(segment) for segment in segments]
        found = _descend(self._root, segments, 1, (), method)
        if found is None:
            return None
        entry, values = found
        return entry.target, entry.named(values)

    def allowed(self, path: str) -> frozenset[str]:
        """Return the methods for which ``path`` has a route; empty if it has none.

        Raises:
          HTTPError: as in `match`.

        """
        return frozenset(method for method in self._methods if self.match(method, path))

    def _add(self, entry: _Entry[T]) -> dict[str, _Entry[T]]:
        node = self._root
        for segment in entry.route.segments:
            node = node.child(segment)
        for method in entry.route.methods:
            taken = node.entries.setdefault(method, entry)
            if taken is not entry:
                raise PluginError(f"{entry.route} collides with {taken.route}")
        if not entry.names:
            self._static[entry.route.pattern] = node.entries
        return node.entries


def _descend(
    node: _Node[T], segments: list[str], depth: int, values: Values, method: str
) -> tuple[_Entry[T], Values] | None:
    while depth < len(segments):
        literal = node.literals.get(segments[depth])
        if node.has_parameters:
            return _branch(node, literal, segments, depth, values, method)
        if literal is None:
            return None
        node = literal
        depth += 1
    return _leaf(node, values, method)


def _branch(
    node: _Node[T],
    literal: _Node[T] | None,
    segments: list[str],
    depth: int,
    values: Values,
    method: str,
) -> tuple[_Entry[T], Values] | None:
    if literal is not None:
        found = _descend(literal, segments, depth + 1, values, method)
        if found is not None:
            return found
    segment = segments[depth]
    if not segment:  # no parameter matches an empty one: `/users/` is not `/users/{name}`
        return None
    for convert, child in node.converted.items():
        try:
            value = convert(segment)
        except ValueError:
            continue
        found = _descend(child, segments, depth + 1, (*values, value), method)
        if found is not None:
            return found
    if node.plain is not None:
        found = _descend(node.plain, segments, depth + 1, (*values, segment), method)
        if found is not None:
            return found
    if node.rest is not None:
        return _leaf(node.rest, (*values, "/".join(segments[depth:])), method)
    return None


def _leaf(node: _Node[T], values: Values, method: str) -> tuple[_Entry[T], Values] | None:
    entry = node.entries.get(method)
    return None if entry is None else (entry, values)


def _decode(segment: str) -> str:
    if _BAD_ESCAPE.search(segment):
        raise HTTPError(400, "the path has a '%' that is not followed by two hex digits")
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise HTTPError(400, "the path is not UTF-8 once it is percent-decoded") from None
