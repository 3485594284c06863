"""Arguments: what each parameter of a handler is given, decided once, at start."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from ..errors import PluginError
from .hints import globals_of, resolve
from .patterns import Parameter
from .sources import from_path, from_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..messages import Request
    from .hookspecs import Route
    from .sources import Kind, Query, Source

__all__ = ["Arguments", "compile_arguments"]

_NO_QUERY: Final[Query] = {}
_ANY_NUMBER: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@final
@dataclass(frozen=True, slots=True)
class _Binding:
    """One parameter, and where its argument comes from."""

    name: str
    by_name: bool
    kind: Kind
    source: Source


@final
class Arguments:
    """A handler's arguments: those that it takes by position, then those by name only.

    Attributes:
      names: of those that it takes by name only.

    """

    def __init__(self, bindings: list[_Binding]) -> None:
        ordered = sorted(bindings, key=lambda binding: binding.by_name)
        self._sources = [binding.source for binding in ordered]
        self._reads_query = any(binding.kind == "query" for binding in bindings)
        self.names = tuple(binding.name for binding in ordered if binding.by_name)

    def of(self, request: Request) -> list[Any]:
        """Return the arguments for ``request``.

        Raises:
          HTTPError: 400, 401 or 422, if it does not hold them.

        """
        query = _query(request) if self._reads_query else _NO_QUERY
        return [source(request, query) for source in self._sources]


def compile_arguments(route: Route) -> Arguments:
    """Decide where each argument of the route's handler comes from.

    Raises:
      PluginError: naming the route and the parameter, if that cannot be decided.

    """
    known = globals_of(route.handler)
    parameters = inspect.signature(route.handler).parameters.values()
    bindings = [_bind(route, parameter, known) for parameter in parameters]
    bodies = [f"`{binding.name}`" for binding in bindings if binding.kind == "body"]
    if len(bodies) > 1:
        raise PluginError(f"{route}: {' and '.join(bodies)} cannot both be the body")
    return Arguments(bindings)


def _bind(route: Route, parameter: inspect.Parameter, known: Mapping[str, Any]) -> _Binding:
    try:
        kind, source = _source(route, parameter, known)
    except Exception as error:  # whatever comes of evaluating somebody's annotations
        raise PluginError(f"{route}: parameter `{parameter.name}`: {error}") from error
    by_name = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    return _Binding(parameter.name, by_name, kind, source)


def _source(
    route: Route, parameter: inspect.Parameter, known: Mapping[str, Any]
) -> tuple[Kind, Source]:
    if parameter.kind in _ANY_NUMBER:
        raise TypeError("a handler names its arguments: no '*', no '**'")
    for segment in route.segments:
        if isinstance(segment, Parameter) and segment.name == parameter.name:
            return "path", from_path(segment, _known_hint(parameter, known))
    return from_request(parameter.name, resolve(parameter.annotation, known), parameter.default)


def _known_hint(parameter: inspect.Parameter, known: Mapping[str, Any]) -> Any:
    # The pattern decides; an annotation for type checkers only is as good as none.
    try:
        return resolve(parameter.annotation, known)
    except NameError:
        return inspect.Parameter.empty


def _query(request: Request) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for name, value in request.query_items():
        query.setdefault(name, []).append(value)
    return query
