"""Requests, responses, headers, principals and problem documents, shared by all packages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET

from . import json_codec
from .errors import CallError
from .headers import Headers, no_headers
from .later import Later  # noqa: TC001 (msgspec looks up the types of a Request's fields)
from .name_rules import service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .errors import Executed

__all__ = [
    "IDEMPOTENT_METHODS",
    "JSON",
    "OCTETS",
    "PROBLEM",
    "Headers",
    "Precondition",
    "Principal",
    "Request",
    "Response",
    "ResponseError",
    "no_headers",
    "problem",
    "reason_phrase",
]

JSON: Final = "application/json"

OCTETS: Final = "application/octet-stream"

PROBLEM: Final = "application/problem+json"

#: RFC 9110, section 9.2.2: repeating them has no further effect (promise P4).
IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class Principal(msgspec.Struct, frozen=True, array_like=True):
    """The caller, determined by an auth plugin or the broker, never accepted from a client.

    Raises:
      TypeError, UnicodeEncodeError: if the name or a scope cannot be sent as text.

    """

    name: str
    scopes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # Checked here rather than on use: it is created once, and sent with every call.
        given: tuple[Any, Any] = (self.name, self.scopes)
        if list(map(type, given)) != [str, frozenset]:
            raise TypeError(f"a principal must be a name and a frozenset of scopes, not {given!r}")
        "".join([self.name, *self.scopes]).encode()

    def has_scope(self, scope: str) -> bool:
        """Return whether ``scope`` was granted; the scope ``*`` includes all others."""
        return scope in self.scopes or "*" in self.scopes


class Request(msgspec.Struct):
    """A call as handlers and preconditions see it.

    Attributes:
      method: in upper case: ``"GET"``.
      path: starts with ``/``; without the query, still percent-encoded.
      query_string: the text after the ``?``, not decoded; see `query`.
      headers: the caller's headers, with names in lower case.
      body: the whole body; use `frames` if the boundaries of ZeroMQ's frames matter.
      path_params: the values of the pattern's parameters, decoded and converted.
      principal: the caller, if a hook or precondition has determined it, or None.
      deadline: on Trio's clock (`trio.current_time`); the handler is cancelled then.
      request_id: the caller's ``x-request-id``, or an id created for this call.
      route: the matching pattern: ``"/users/{user_id:int}"``.
      later: the result of `reply_later`; None if it was not called.

    """

    method: str
    path: str
    query_string: str = ""
    headers: Headers = msgspec.field(default_factory=no_headers)
    body: bytes = b""
    path_params: dict[str, Any] = msgspec.field(default_factory=dict)
    principal: Principal | None = None
    deadline: float = float("inf")
    request_id: str = ""
    route: str = ""
    body_frames: tuple[bytes, ...] = ()
    later: Later | None = None

    @property
    def frames(self) -> tuple[bytes, ...]:
        """The body as the frames in which it was received; trizmq's own client sends one."""
        return self.body_frames or (self.body,)

    @property
    def service(self) -> str:
        """The first segment of the path, decoded."""
        return service_of(self.path) or ""

    @property
    def query(self) -> dict[str, str]:
        """The decoded query; of repeated names, the last value. Parsed again on each access."""
        return dict(self.query_items())

    def query_items(self) -> list[tuple[str, str]]:
        """Return the pairs of the query in order, including repeated names."""
        return parse_qsl(self.query_string, keep_blank_values=True)

    def json(self) -> Any:
        """Decode the body as JSON.

        Raises:
          ValueError: if it is not JSON. If the handler lets it pass, the response is a 500.
            To respond with 400 or 422 instead, declare a type for the body.

        """
        return json_codec.decode(self.body)

    def reply_later(self) -> Later:
        """Return an object that can send the response after the handler has returned.

        The handler then returns None, or raises an exception, which becomes the response. Its
        task is free, but the call counts towards the capacity of its worker until the response
        is sent, and its deadline still applies. Further calls return the same object.

        Raises:
          RuntimeError: if this request was created by a test instead of a worker.

        """
        raise RuntimeError("this request has no caller that waits for a response")


class _Encoded(msgspec.Struct, kw_only=True):
    # A field of the base, because `Response` has a method with this name.
    json: Any = UNSET
    stream: Any = None


#: The field: `Response.json` is the method.
_json: Final[Any] = _Encoded.__dict__["json"]


class Response(_Encoded):
    """The outcome of a call: a status, headers and a body.

    Args:
      status: 100..599.
      headers: a mapping; without ``content-type``, the body is JSON.
      body: as bytes.
      json: encoded as the body, with ``content-type: application/json`` unless ``headers``
        contains another. Structs and dataclasses are supported too.
      stream: from a handler, an async iterable of the parts of the response instead of a body:
        bytes, or any values, which are sent as lines of JSON. The head is sent at once.

    Raises:
      TypeError, ValueError: if ``json`` cannot be encoded, or there is also a ``body``.

    """

    status: int
    headers: Headers = msgspec.field(default_factory=no_headers)
    body: bytes = b""
    _given: ClassVar[Any] = _json  # the fastest way to read the field; this runs in each call

    def __post_init__(self) -> None:
        if type(self.headers) is not Headers or self._given is not UNSET:
            self._complete()

    def _complete(self) -> None:
        self.headers = Headers(self.headers)
        if self._given is UNSET:
            return
        if self.body:
            raise TypeError("a response has a body or json, not both")
        self.body = json_codec.encode(self._given)
        self.headers.setdefault("content-type", JSON)
        _json.__set__(self, UNSET)  # the body is what counts, and it may be changed

    def __repr__(self) -> str:
        return f"Response(status={self.status}, headers={self.headers}, body={self.body!r})"

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        return str(self.headers.get("content-type", JSON)).partition(";")[0].strip().lower()

    @property
    def is_error(self) -> bool:
        """Whether the status is 400 or more."""
        return self.status >= 400

    @property
    def text(self) -> str:
        """The body as text, UTF-8."""
        return self.body.decode()

    def json(self) -> Any:  # type: ignore[misc]  # the base has a field with this name
        """Decode the body as JSON; an empty body is None.

        Raises:
          ValueError: if the body is not JSON.

        """
        return json_codec.decode(self.body) if self.body else None

    def raise_for_status(self) -> Response:
        """Return the response itself, or raise an error if the status is 400 or more.

        Raises:
          ResponseError: with this response, and ``executed`` from the problem document.

        """
        if not self.is_error:
            return self
        raise ResponseError(self._summary(), response=self, executed=self._executed())

    def _problem(self) -> dict[str, Any]:
        if self.content_type != PROBLEM:
            return {}
        try:
            document = json_codec.decode(self.body)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    def _summary(self) -> str:
        detail = self._problem().get("detail")
        return f"{self.status} {reason_phrase(self.status)}" + (f": {detail}" if detail else "")

    def _executed(self) -> Executed:
        return "no" if self._problem().get("executed") == "no" else "maybe"


#: Guards a route: returns None to let the request pass, or a response to send instead.
Precondition: TypeAlias = Callable[
    Concatenate[Request, ...], Response | Awaitable[Response | None] | None
]


def reason_phrase(status: int) -> str:
    """Return the phrase for ``status``: ``"Not Found"``, or ``"Status 799"`` if unknown."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def problem(
    status: int,
    detail: str | None = None,
    *,
    executed: Executed | None = None,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    **extensions: Any,
) -> Response:
    """Create an error response: an RFC 9457 problem document.

    Args:
      status: 400..599; ``title`` is its reason phrase, ``type`` is ``about:blank``.
      detail: an explanation for the caller: the cause, and what to do.
      executed: whether a handler may have received the call (promise P2).
      request_id: the same as in the access log.
      headers: added to ``content-type``.
      extensions: further members (RFC 9457, section 3.2), which must be JSON values.

    """
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": reason_phrase(status),
        "status": status,
    }
    if isinstance(detail, bytes):  # JSON would contain them as base64, which is never intended
        raise TypeError(f"a detail is text, not bytes: {detail!r}")
    members = {"detail": detail, "executed": executed, "request_id": request_id, **extensions}
    document |= {name: value for name, value in members.items() if value is not None}
    fields = Headers(headers)
    fields["content-type"] = PROBLEM
    return Response(status, fields, json_codec.encode(document))


class ResponseError(CallError):
    """The response has an error status; raised only by ``response.raise_for_status()``.

    Attributes:
      response: the response.
      executed: from its problem document; ``"maybe"`` if that does not contain it.

    """

    def __init__(self, message: str, *, response: Response, executed: Executed) -> None:
        super().__init__(message, executed=executed)
        self.response = response
