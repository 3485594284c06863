"""Arguments: where the value of each handler parameter comes from, decided once at start."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from ..errors import HTTPError, PluginError
from .hints import fixed_names, globals_of, place_of, resolve
from .path_patterns import Parameter
from .sources import from_path, from_request, from_resource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..messages import Request
    from .resources import Resources
    from .router import Route
    from .sources import Kind, Query, Source

__all__ = ["Arguments", "compile_arguments", "refusal"]

#: RFC 9110, section 15.5.21: the body was understood, but does not match the handler.
_UNFIT: Final = 422
_UNKNOWN_CALLER: Final = 401

_NO_QUERY: Final[Query] = {}
_ANY_NUMBER: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@final
@dataclass(frozen=True, slots=True)
class _Binding:
    """One parameter, and the source of its argument."""

    name: str
    by_name: bool
    kind: Kind
    source: Source


@final
class Arguments:
    """The arguments of a handler: positional ones first, then keyword-only ones.

    Attributes:
      names: the names of the keyword-only arguments.

    """

    def __init__(self, bindings: list[_Binding]) -> None:
        ordered = sorted(bindings, key=lambda binding: binding.by_name)
        self._sources = [binding.source for binding in ordered]
        self._reads_query = any(binding.kind == "query" for binding in bindings)
        self.names = tuple(binding.name for binding in ordered if binding.by_name)

    def of(self, request: Request) -> list[Any]:
        """Return the arguments for ``request``.

        Raises:
          HTTPError: 400, 401 or 422, if the request does not contain them.

        """
        query = _query(request) if self._reads_query else _NO_QUERY
        try:
            return [source(request, query) for source in self._sources]
        except HTTPError as error:
            if error.status != _UNFIT:
                raise
        raise HTTPError(_UNFIT, "; ".join(self._misfits(request, query)))

    def _misfits(self, request: Request, query: Query) -> Iterator[str]:
        """Yield a description of each argument that does not fit."""
        for source in self._sources:
            try:
                source(request, query)
            except HTTPError as error:
                if error.status == _UNKNOWN_CALLER:
                    raise  # an unknown caller may not learn the handler's parameters
                if error.status == _UNFIT:
                    yield str(error)


def compile_arguments(route: Route, resources: Resources) -> Arguments:
    """Find the source of each argument of the route's handler.

    Args:
      route: a route of a loaded plugin.
      resources: the values that the lifespans yield.

    Raises:
      PluginError: if a source cannot be found; the error names the route and the parameter.

    """
    known, fixed = globals_of(route.handler), fixed_names(route.handler)
    # Callers cannot set the arguments that a partial binds.
    parameters = [one for one in _parameters(route) if one.name not in fixed]
    bindings = [_bind(route, parameter, known, resources) for parameter in parameters]
    bodies = [f"`{binding.name}`" for binding in bindings if binding.kind == "body"]
    if len(bodies) > 1:
        raise refusal(route, f"{' and '.join(bodies)} cannot both be the body")
    if all(binding.kind != "request" for binding in bindings):
        _check_all_taken(route, {binding.name for binding in bindings})
    return Arguments(bindings)


def refusal(route: Route, why: str) -> PluginError:
    """Return an error that stops the start and names the route and its handler's location."""
    place = place_of(route.handler)
    return PluginError(f"{route}: {why}" + (f" ({place})" if place else ""))


def _parameters(route: Route) -> Iterable[inspect.Parameter]:
    try:
        return inspect.signature(route.handler).parameters.values()
    except (TypeError, ValueError) as error:  # some builtins have none; or it is not callable
        raise refusal(route, f"its arguments cannot be determined: {error}") from error


def _check_all_taken(route: Route, names: set[str]) -> None:
    for segment in route.segments:
        if not isinstance(segment, Parameter) or segment.name in names:
            continue
        if not segment.name.startswith("_"):  # an underscore means: match only
            raise refusal(
                route,
                f"no argument takes {{{segment.name}}}: add an argument `{segment.name}` or the "
                f"Request, or write {{_{segment.name}}}",
            )


def _bind(
    route: Route, parameter: inspect.Parameter, known: Mapping[str, Any], resources: Resources
) -> _Binding:
    try:
        kind, source = _source(route, parameter, known, resources)
    except Exception as error:  # any error from evaluating a plugin's annotations
        raise refusal(route, f"parameter `{parameter.name}`: {error}") from error
    by_name = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    return _Binding(parameter.name, by_name, kind, source)


def _source(
    route: Route, parameter: inspect.Parameter, known: Mapping[str, Any], resources: Resources
) -> tuple[Kind, Source]:
    if parameter.kind in _ANY_NUMBER:
        raise TypeError("a handler names its arguments: no '*', no '**'")
    for segment in route.segments:
        if isinstance(segment, Parameter) and segment.name == parameter.name:
            return "path", from_path(segment, _known_hint(parameter, known))
    hint = resolve(parameter.annotation, known)
    resource = resources.find(hint)
    if resource is not None:
        return "resource", from_resource(resource)
    return from_request(parameter.name, hint, parameter.default)


def _known_hint(parameter: inspect.Parameter, known: Mapping[str, Any]) -> Any:
    # The pattern decides. An annotation that only type checkers can resolve counts as none.
    try:
        return resolve(parameter.annotation, known)
    except NameError:
        return inspect.Parameter.empty


def _query(request: Request) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for name, value in request.query_items():
        query.setdefault(name, []).append(value)
    return query
