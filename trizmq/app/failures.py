"""Failures: which response an exception becomes, and which exceptions it may not stop."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import trio

from .. import json_codec
from ..errors import HTTPError
from ..messages import PROBLEM, Response, problem
from .results import check_response

if TYPE_CHECKING:
    from ..errors import Executed
    from ..messages import Request

__all__ = ["answer_failure", "complete", "lone", "without_cancelled"]

LOGGER = logging.getLogger("trizmq.app")

#: What belongs to Trio and to the person at the terminal, not to the call.
_PASSING = (trio.Cancelled, KeyboardInterrupt)


def answer_failure(error: BaseException, request: Request, executed: Executed) -> Response:
    """Return the problem document for ``error``, which a plugin's code raised.

    An `HTTPError` says itself what it is, also alone in a group, as it leaves a nursery.
    Anything else is a 500 and logged; what it says does not travel.

    Raises:
      Cancelled, KeyboardInterrupt: if ``error`` is one, or a group with some in it; the
        rest of the group is logged.

    """
    # A handler runs in the server's nursery, where whatever leaves it cancels every other
    # call (measured: one raising child took whole servers down). `except Exception` does
    # not hold that: a handler that calls `sys.exit`, a BaseException of its own, a
    # BaseExceptionGroup out of its nursery all pass it. So we take everything, and give
    # back what is not the handler's to decide: a swallowed Cancelled would leave its
    # cancel scope waiting for good, and Ctrl-C must end the program.
    if isinstance(error, BaseExceptionGroup):
        _give_back(error, request)
    elif isinstance(error, _PASSING):
        raise error
    cause = lone(error)
    if not isinstance(cause, HTTPError):
        return _fault(error, request, executed)
    try:
        return _refusal(cause, request, executed)
    except Exception as unfit:  # its detail or headers are not text
        return _fault(unfit, request, executed)


def lone(error: BaseException) -> BaseException:
    """Return what is in a group of one, through any number of groups; else ``error``."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def without_cancelled(error: BaseException | None) -> BaseException | None:
    """Return ``error`` without what is Trio's of it; None if nothing is left."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1]
    return None if isinstance(error, trio.Cancelled) else error


def _give_back(group: BaseExceptionGroup[BaseException], request: Request) -> None:
    passing, rest = group.split(_PASSING)
    if passing is None:
        return
    if rest is not None:
        _log(rest, request)
    raise passing


def _refusal(error: HTTPError, request: Request, executed: Executed) -> Response:
    make = partial(
        problem,
        error.status,
        executed=executed,
        request_id=request.request_id or None,
        headers=error.headers,
    )
    try:
        refusal = make(error.detail)
    except (TypeError, ValueError):
        if isinstance(error.detail, bytes):  # its text would be `b'...'`
            raise
        refusal = make(str(error.detail).encode("utf-8", "backslashreplace").decode())
    return check_response(refusal)


def complete(response: Response, request: Request, executed: Executed) -> Response:
    """Return ``response``, which a plugin made, with what every problem document says.

    That is ``executed`` and ``request_id``. A plugin that made a `problem` need not know them;
    where it says them, they are its own. It may return one response many times: what lacks
    them is copied.
    """
    if response.status < 400 or response.content_type != PROBLEM:
        return response
    try:
        document = json_codec.decode(response.body)
    except ValueError:
        return response
    if not isinstance(document, dict):
        return response
    members = {"executed": executed, "request_id": request.request_id}
    lacking = {name: text for name, text in members.items() if text and name not in document}
    if not lacking:
        return response
    return Response(response.status, response.headers, json_codec.encode(document | lacking))


def _fault(error: BaseException, request: Request, executed: Executed) -> Response:
    _log(error, request)
    return problem(500, executed=executed, request_id=request.request_id or None)


def _log(error: BaseException, request: Request) -> None:
    where = {"request_id": request.request_id, "method": request.method, "route": request.route}
    LOGGER.error("%(method)s %(route)s failed (request %(request_id)s)", where, exc_info=error)
