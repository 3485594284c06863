"""Matching: from a method and a path to what was registered for them."""

# Theory of operation. A route without parameters is found by one look into a dict keyed by
# the path as it came. The rest (parameters, percent-encoded paths, wrong methods) walks a
# trie, one level a segment. At each node it tries, in this order, the literal child, the
# children behind converters as registered, the child of a plain `{name}`, and `{name:path}`;
# where that leads nowhere it comes back and tries the next. Neither depends on how many
# routes there are.
#
# A leaf is reached by path alone; if it lacks the method the walk goes on, so that
# `GET /users/me` does not take `DELETE /users/{user_id}` away.

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, final
from urllib.parse import unquote

from ..errors import HTTPError, PluginError
from .patterns import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .hookspecs import Route
    from .patterns import Converter

__all__ = ["Table"]

T = TypeVar("T")
Values: TypeAlias = tuple[Any, ...]

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


@final
class _Entry(Generic[T]):
    """A target, with the names of the parameters on the way to it."""

    __slots__ = ("names", "route", "target")

    def __init__(self, route: Route, target: T) -> None:
        self.route = route
        self.target = target
        self.names = tuple(part.name for part in route.segments if isinstance(part, Parameter))

    def named(self, values: Values) -> dict[str, Any]:
        """Return ``values`` by the names of the parameters."""
        if len(values) == 1:  # the usual case, at a fifth of the price
            return {self.names[0]: values[0]}
        return dict(zip(self.names, values, strict=True))


@final
class _Node(Generic[T]):
    """What can follow one prefix of a path, and what ends here, by method."""

    __slots__ = ("converted", "entries", "has_parameters", "literals", "plain", "rest")

    def __init__(self) -> None:
        self.entries: dict[str, _Entry[T]] = {}
        self.literals: dict[str, _Node[T]] = {}
        self.converted: dict[Converter, _Node[T]] = {}
        self.plain: _Node[T] | None = None
        self.rest: _Node[T] | None = None
        self.has_parameters = False

    def child(self, segment: str | Parameter) -> _Node[T]:
        """Return the child for a segment of a pattern; a new one the first time."""
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
    """Routes, compiled; each leads to its target.

    GET leads for HEAD as well, where HEAD has no route of its own.

    Raises:
      PluginError: if two routes match the same method and paths, naming both.

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

        Each segment is percent-decoded once, after the split: ``%2F`` stays inside its
        parameter.

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
        """Return the methods for which ``path`` has a route; none: there is nothing there.

        Raises:
          HTTPError: as `match` does.

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
    if not segment:  # no parameter matches it: `/users/` is not `/users/{name}`
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
