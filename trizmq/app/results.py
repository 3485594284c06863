"""Results: converting the return values of handlers to responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .. import json_codec, name_rules
from ..errors import HTTPError
from ..json_codec import plain_bytes
from ..messages import OCTETS, Headers, Response
from .streams import is_stream

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_response", "result_writer", "to_response"]


def to_response(value: object) -> Response:
    """Convert ``value``, which is not None, to a response.

    A `Response` is returned as it is, ``bytes`` are sent as octets, and a tuple is
    ``(status, value)``. Anything else becomes JSON if msgspec can encode it: Structs,
    dataclasses, dates, UUIDs, enums, sets. An async iterable is a stream. A JSON
    response has no ``content-type``, which means JSON and saves bytes.

    Raises:
      TypeError, ValueError: if it cannot be converted, which is a bug in the handler.

    """
    if type(value) is tuple:  # a NamedTuple is data
        return _with_status(value)
    if _is_response(value):
        return check_response(cast("Response", value))
    return _with_body(200, value)


def result_writer(*, returns_nothing: bool) -> Callable[[object], Response]:
    """Return a version of `to_response` that also accepts None.

    Args:
      returns_nothing: whether the handler is annotated ``-> None``: then None is 204, not 404.

    Raises:
      HTTPError: from the returned function, 404 for None.

    """
    # The type of the last value that was JSON: detecting that a value is not a Response costs as
    # much as encoding a small one.
    plain: type | None = None

    def write(value: object) -> Response:
        nonlocal plain
        if value is None:
            if returns_nothing:
                return Response(204)
            raise HTTPError(404)
        kind = type(value)
        if kind is not plain:
            if kind is tuple or isinstance(value, bytes) or _is_response(value) or is_stream(kind):
                return to_response(value)
            plain = kind
        return Response(200, body=json_codec.encode(value))

    return write


def _is_response(value: object) -> bool:
    # Equivalent to `isinstance`, which calls the metaclass of a Struct, an ABC's. That takes
    # longer than encoding the JSON.
    return Response in type(value).__mro__


def check_response(response: Response) -> Response:
    """Return ``response``, from a plugin, if every dialect can carry it.

    Raises:
      TypeError, ValueError, LocalProtocolError: if its status, a header or its body is
        invalid, which is a bug in the plugin.

    """
    status: Any = response.status  # a Struct does not validate its fields
    body: Any = response.body
    if not (isinstance(status, int) and 100 <= status <= 599):
        raise ValueError(f"a status must be an int from 100 to 599, not {status!r}")
    if not isinstance(body, bytes):
        raise TypeError(f"a Response's body is bytes, not {type(body).__name__}")
    if response.stream is not None:
        _check_stream(response)
    if type(body) is not bytes:
        response.body = plain_bytes(body)
    if not name_rules.are_fields_normal(response.headers):
        response.headers = Headers(name_rules.check_fields(response.headers.items()))
    return response


def _check_stream(response: Response) -> None:
    if response.body:
        raise TypeError("a Response has a body or a stream, not both")
    if not is_stream(type(response.stream)):
        kind = type(response.stream).__name__
        raise TypeError(f"a Response's stream is an async iterable, not {kind}")


def _with_status(pair: tuple[Any, ...]) -> Response:
    match pair:
        case (int(), value) if _is_response(value):
            raise TypeError("a Response has its own status: return it alone")
        case (int(status), value) if 200 <= status <= 599:
            return _with_body(int(status), value)
    raise TypeError(f"a handler's tuple is (status, value); for a JSON array return a list: {pair}")


def _with_body(status: int, value: object) -> Response:
    if isinstance(value, bytes):
        return Response(status, Headers({"content-type": OCTETS}), plain_bytes(value))
    if is_stream(type(value)):
        return Response(status, stream=value)
    return Response(status, body=b"" if value is None else json_codec.encode(value))
