"""Request, response, headers, principal, problem documents: the words that both wings share."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec

from . import json_codec
from .errors import ResponseError
from .headers import Headers, no_headers
from .later import Later  # noqa: TC001 (msgspec looks up the types of a Request's fields)
from .names import service_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .errors import Executed

__all__ = [
    "IDEMPOTENT_METHODS",
    "JSON",
    "OCTETS",
    "PROBLEM",
    "Headers",
    "Principal",
    "Request",
    "Response",
    "no_headers",
    "problem",
    "reason_phrase",
]

JSON: Final = "application/json"
OCTETS: Final = "application/octet-stream"
PROBLEM: Final = "application/problem+json"

#: RFC 9110, section 9.2.2: doing them twice is as good as once (promise P4).
IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class Principal(msgspec.Struct, frozen=True, array_like=True):
    """Who calls: made by an auth plugin or the broker, never taken from a client.

    Raises:
      TypeError, UnicodeEncodeError: the name, or a scope, is no text that could travel.

    """

    name: str
    scopes: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        # Here and not where it is used: a principal is made once, and sent with every call.
        given: tuple[Any, Any] = (self.name, self.scopes)
        if list(map(type, given)) != [str, frozenset]:
            raise TypeError(f"a principal is a name and a frozenset of scopes, not {given!r}")
        "".join([self.name, *self.scopes]).encode()

    def has_scope(self, scope: str) -> bool:
        """Tell whether ``scope`` was granted; the scope ``*`` grants every other."""
        return scope in self.scopes or "*" in self.scopes


class Request(msgspec.Struct):
    """One call, as a handler and a precondition see it.

    Attributes:
      method: upper case: ``"GET"``.
      path: starts with ``/``; without the query, still percent-encoded.
      query_string: what followed the ``?``, undecoded; `query` is it parsed.
      headers: the caller's, names in lower case.
      body: all of it; `frames` where the boundaries of ZeroMQ's frames matter.
      path_params: what the pattern's parameters matched, decoded and converted.
      principal: who calls, once a precondition has found out; else None.
      deadline: on Trio's clock (`trio.current_time`); the handler is cancelled then.
      request_id: the caller's ``x-request-id``, or one made for this call.
      route: the pattern that matched: ``"/users/{user_id:int}"``.
      later: what `reply_later` returned; None if it was not called.

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
        """The body as the frames in which it came; one frame from our own client."""
        return self.body_frames or (self.body,)

    @property
    def service(self) -> str:
        """The first segment of the path, decoded."""
        return service_of(self.path) or ""

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded; of a name given twice, the last value. Parsed anew each time."""
        return dict(self.query_items())

    def query_items(self) -> list[tuple[str, str]]:
        """Return the query's pairs in their order, repeated names included."""
        return parse_qsl(self.query_string, keep_blank_values=True)

    def json(self) -> Any:
        """Decode the body as JSON.

        Raises:
          ValueError: if it is not (a handler that lets it pass answers 500: declare a
            type for the body instead, and the caller gets 400 or 422).

        """
        return json_codec.decode(self.body)

    def reply_later(self) -> Later:
        """Return what the call can be answered with when its handler has returned.

        The handler then returns None, which is no answer; or it raises, and that is the
        answer. Its task is free, but the call counts among those that its worker can take
        until it is answered, and it has its deadline all the same. Called again, it returns
        the same.

        Raises:
          RuntimeError: if this request is not served by a worker, but made by a test.

        """
        raise RuntimeError("this request did not come from a caller: nobody waits for an answer")


class Response(msgspec.Struct):
    """How a call ended: a status, headers, a body.

    Args:
      status: 100..599.
      headers: a mapping; without ``content-type`` a body is JSON.
      body: the bytes themselves.

    """

    status: int
    headers: Headers = msgspec.field(default_factory=no_headers)
    body: bytes = b""

    def __post_init__(self) -> None:
        if type(self.headers) is not Headers:
            self.headers = Headers(self.headers)

    @property
    def content_type(self) -> str:
        """The body's media type, without parameters."""
        return str(self.headers.get("content-type", JSON)).partition(";")[0].strip().lower()

    @property
    def is_error(self) -> bool:
        """Whether the status is 400 or more."""
        return self.status >= 400

    @property
    def text(self) -> str:
        """The body as text, UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """Decode the body as JSON; an empty body is None.

        Raises:
          ValueError: if the body is not JSON.

        """
        return json_codec.decode(self.body) if self.body else None

    def raise_for_status(self) -> Response:
        """Return self, or raise if the status is 400 or more.

        Raises:
          ResponseError: with this response, and ``.executed`` from the problem document.

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


def reason_phrase(status: int) -> str:
    """Return the words for ``status``: ``"Not Found"``; of an unknown one ``"Status 799"``."""
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
    """Make an error response: an RFC 9457 problem document.

    Args:
      status: 400..599; ``title`` is its reason phrase, ``type`` is ``about:blank``.
      detail: for the caller's eyes: what went wrong, and what to do.
      executed: whether a handler was given the call (promise P2).
      request_id: as in the access log.
      headers: added to ``content-type``.
      extensions: further members (RFC 9457, section 3.2); each must be JSON.

    """
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": reason_phrase(status),
        "status": status,
    }
    if isinstance(detail, bytes):  # as JSON they would be base64, which nobody means
        raise TypeError(f"a detail is text, not bytes: {detail!r}")
    members = {"detail": detail, "executed": executed, "request_id": request_id, **extensions}
    document |= {name: value for name, value in members.items() if value is not None}
    fields = Headers(headers)
    fields["content-type"] = PROBLEM
    return Response(status, fields, json_codec.encode(document))
