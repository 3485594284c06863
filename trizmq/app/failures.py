"""Failures: converting exceptions to responses, except those that must pass."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from .. import json_codec
from ..errors import HTTPError
from ..messages import PROBLEM, Response, problem
from .results import check_response

if TYPE_CHECKING:
    from ..errors import Executed
    from ..messages import Request

__all__ = [
    "answer_failure",
    "answer_fault",
    "complete",
    "is_ctrl_c",
    "lone",
    "without_cancelled",
]

LOGGER = logging.getLogger("trizmq.app")

#: The file in which Trio raises KeyboardInterrupt for Ctrl-C.
_TRIO_CTRL_C: Final = str(Path(trio.__file__).parent / "_core" / "_ki.py")


def answer_failure(error: BaseException, request: Request, executed: Executed) -> Response:
    """Return the problem document for ``error``, an exception from a plugin.

    An `HTTPError` determines its own response, also if it is alone in a group, as when it
    leaves a nursery. Any other exception is logged and becomes a 500, without its message.

    Raises:
      Cancelled: if ``error`` is one, or a group that contains some; the rest is logged.
      KeyboardInterrupt: the same, if it comes from Ctrl-C: see `is_ctrl_c`.

    """
    # A handler runs in the server's nursery, where any escaping exception cancels all other
    # calls (measured: one raising child took whole servers down). `except Exception` is not
    # enough: `sys.exit`, a custom BaseException or a BaseExceptionGroup from a nursery pass
    # it. So we catch everything, and re-raise the exceptions that are not the handler's to
    # decide: a swallowed Cancelled would leave its cancel scope waiting forever, and Ctrl-C
    # must end the program.
    if isinstance(error, BaseExceptionGroup):
        _give_back(error, request)
    elif _passes(error):
        raise error
    cause = lone(error)
    if not isinstance(cause, HTTPError):
        return answer_fault(error, request, executed)
    try:
        return _refusal(cause, request, executed)
    except Exception as unfit:  # the detail or headers are not text
        return answer_fault(unfit, request, executed)


def answer_fault(
    error: BaseException | None, request: Request, executed: Executed, why: str = ""
) -> Response:
    """Return a 500; log ``error`` with its traceback, and ``why`` if given."""
    _log(error, request, why)
    return problem(500, why or None, executed=executed, request_id=request.request_id or None)


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether ``error`` is a KeyboardInterrupt from Trio, or a group with one.

    If a handler raises KeyboardInterrupt itself, that is an ordinary failure. The difference
    is where the exception begins: for Ctrl-C, in Trio's own signal handler.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(map(is_ctrl_c, error.exceptions))
    if not isinstance(error, KeyboardInterrupt):
        return False
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_code.co_filename == _TRIO_CTRL_C


def lone(error: BaseException) -> BaseException:
    """Unwrap nested groups that contain a single exception; otherwise return ``error``."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def without_cancelled(error: BaseException | None) -> BaseException | None:
    """Return ``error`` without its Cancelled exceptions, or None if nothing is left."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1]
    return None if isinstance(error, trio.Cancelled) else error


def _give_back(group: BaseExceptionGroup[BaseException], request: Request) -> None:
    passing, rest = _divided(group)
    if passing is None:
        return
    if rest is not None:
        _log(rest, request)
    raise passing


def _divided(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Split ``error`` into the part that must pass and the rest.

    `BaseExceptionGroup.split` does the same, but does not accept compiled functions.
    """
    if not isinstance(error, BaseExceptionGroup):
        return (error, None) if _passes(error) else (None, error)
    parts = [_divided(part) for part in error.exceptions]
    passing = [part for part, _ in parts if part is not None]
    rest = [part for _, part in parts if part is not None]
    return (
        error.derive(passing).with_traceback(error.__traceback__) if passing else None,
        error.derive(rest).with_traceback(error.__traceback__) if rest else None,
    )


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
    """Add ``executed`` and ``request_id`` to ``response`` if it is a problem document.

    A plugin that creates a `problem` does not need to know them; if it sets them, its values
    are kept. The plugin may return the same response many times, so the result is a copy.
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


def _passes(error: BaseException) -> bool:
    """Return whether ``error`` is Trio's cancellation or comes from Ctrl-C."""
    return isinstance(error, trio.Cancelled) or is_ctrl_c(error)


def _log(error: BaseException | None, request: Request, why: str = "") -> None:
    where = {"request_id": request.request_id, "method": request.method, "route": request.route}
    line = "%(method)s %(route)s failed (request %(request_id)s)"
    LOGGER.error(f"{line}: {why}" if why else line, where, exc_info=error)
