"""Handlers: a route, its preconditions and its function, compiled into one endpoint."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

from ..messages import Headers, Request, Response
from .arguments import compile_arguments, refusal
from .failures import answer_failure, complete
from .hints import returns_nothing, underlying
from .results import check_response, result_writer
from .streams import Stream, Threaded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..errors import Executed
    from ..messages import Precondition
    from .resources import Resources
    from .router import Route

__all__ = ["Endpoint", "compile_endpoint", "compile_guard"]

#: Raises only Cancelled, and KeyboardInterrupt on Ctrl-C. Returns None if it will respond later.
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response | None]]


def compile_endpoint(
    route: Route,
    preconditions: Sequence[Precondition],
    threads: trio.CapacityLimiter,
    resources: Resources,
) -> Endpoint:
    """Compile the steps of a request to ``route``; nothing is inspected per request.

    Args:
      route: a route of a loaded plugin.
      preconditions: in the order in which to call them.
      threads: the limiter for ``def`` handlers. It is a separate limiter, because a thread
        that was abandoned by its call keeps its place until it ends.
      resources: the values that the lifespans yield.

    Raises:
      PluginError: if the handler cannot be called; the error names the route.

    """
    guards = tuple(compile_guard(route, guard, resources) for guard in preconditions)
    arguments = compile_arguments(route, resources)
    call, waits = _callable(route, arguments.names, threads)
    values_of, pattern = arguments.of, route.pattern
    write = result_writer(returns_nothing=returns_nothing(route.handler))

    async def endpoint(request: Request) -> Response | None:
        request.route = pattern
        executed: Executed = "no"
        try:
            for guard in guards:
                verdict = guard(request)
                if verdict is not None:
                    refusal = await _refusal(verdict)
                    if refusal is not None:
                        return complete(refusal, request, "no")
            values = values_of(request)
            executed = "maybe"
            result = await call(*values) if waits else call(*values)
            if request.later is not None:
                return _no_response_yet(result)
            response = write(result)
            if response.stream is not None:
                return await _begun(response, at_once=response is result)
            # A Response may be a `problem`; usually it is not a Response.
            return complete(response, request, "maybe") if response is result else response
        except BaseException as error:  # answer_failure re-raises the ones that must pass
            return answer_failure(error, request, executed)

    return endpoint


def compile_guard(
    route: Route, guard: Precondition, resources: Resources
) -> Callable[[Request], Response | Awaitable[Response | None] | None]:
    """Return ``guard`` with the resources that it takes.

    Raises:
      PluginError: if no lifespan yields the type of a keyword-only argument.

    """
    try:
        more = resources.keywords_of(guard)
    except TypeError as error:
        raise refusal(route, f"a precondition: {error}") from error
    return guard if more is None else lambda request: guard(request, **more)


def _no_response_yet(result: object) -> Response | None:
    if result is not None:
        raise TypeError(f"after `reply_later` a handler returns None, not {result!r}")
    return None


async def _refusal(verdict: Any) -> Response | None:
    # A guard that returns anything else is broken, and a broken guard lets no request pass.
    answer = await verdict if inspect.isawaitable(verdict) else verdict
    if answer is None:
        return None
    if isinstance(answer, Response) and answer.stream is None:
        return check_response(answer)
    raise TypeError(f"a precondition returns a Response with a body or None, not {answer!r}")


async def _begun(response: Response, *, at_once: bool) -> Response:
    """Return ``response`` with a `Stream`, which has its first part unless ``at_once``.

    An error before the first part is the error of the handler, and so an ordinary response.
    """
    stream = Stream(response.stream)
    headers = Headers(response.headers)
    if not at_once:
        headers.setdefault("content-type", await stream.begin())
    return Response(response.status, headers, stream=stream)


def _callable(
    route: Route, by_name: tuple[str, ...], threads: trio.CapacityLimiter
) -> tuple[Callable[..., Any], bool]:
    # A decorator may wrap the coroutine function in a plain one, or the reverse.
    forms = (route.handler, underlying(route.handler))
    handler = _with_names(route.handler, by_name) if by_name else route.handler
    if any(inspect.isasyncgenfunction(form) for form in forms):
        return handler, False
    if any(inspect.isgeneratorfunction(form) for form in forms):
        return lambda *values: Threaded(threads, handler(*values)), False
    if any(inspect.iscoroutinefunction(form) for form in forms):
        return handler, True
    if route.inline:
        return handler, False
    return partial(_in_thread, threads, handler), True


async def _in_thread(
    threads: trio.CapacityLimiter, handler: Callable[..., Any], *values: Any
) -> Any:
    # The thread is abandoned when the call is cancelled: it cannot be stopped, but it may call
    # `trio.from_thread.check_cancelled`. It runs in a copy of our context.
    return await trio.to_thread.run_sync(handler, *values, abandon_on_cancel=True, limiter=threads)


def _with_names(handler: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    def named(*values: Any) -> Any:
        by_position = len(values) - len(names)
        return handler(*values[:by_position], **dict(zip(names, values[by_position:], strict=True)))

    return named
