"""What users say of a call, made what the engine wants of one."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (compiled, a TypedDict looks at its fields)
from typing import Any, TypedDict, final
from urllib.parse import urlencode

import msgspec
import orjson

from ..engine.links import Pending, nobody
from ..errors import LocalProtocolError

__all__ = ["Details", "RequestMaker"]


class Details(TypedDict, total=False):
    """What a call may have besides method and target.

    Attributes:
      query: appended to the target, encoded; a sequence of values repeats the name.
      headers: names in any case.
      body: raw bytes; not with ``json``.
      json: any value, encoded by orjson (msgspec Structs too).

    """

    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes
    json: Any


@final
class RequestMaker:
    """Makes the engine's calls out of what users say."""

    def __init__(self, token: str | None) -> None:
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def make(
        self, method: str, target: str, details: Details, deadline: float, is_timed: bool
    ) -> Pending:
        """Return a call that ends by ``deadline``; its waiter is still to be set.

        Raises:
          LocalProtocolError: target, headers or body are not what a call can carry.
          TypeError: ``json`` cannot be encoded.

        """
        if target[:1] != "/" or not (target.isprintable() and method.isprintable()):
            raise LocalProtocolError(f"a path starts with / and is printable: {target!r}")
        if not details:
            headers, body = self._headers, b""
        else:
            target = _with_query(target, details.get("query"))
            headers = self._merged(details.get("headers"))
            body = _body(details)
        return Pending(method.upper(), target, headers, body, deadline, is_timed, nobody)

    def _merged(self, headers: Mapping[str, Any] | None) -> dict[str, str]:
        if not headers:
            return self._headers
        for name, value in headers.items():
            if not (isinstance(value, str) and name.isprintable() and value.isprintable()):
                raise LocalProtocolError(f"a header is printable text: {name!r}: {value!r}")
        return self._headers | {name.lower(): value for name, value in headers.items()}


def _with_query(target: str, query: Mapping[str, Any] | None) -> str:
    if not query:
        return target
    return f"{target}{'&' if '?' in target else '?'}{urlencode(query, doseq=True)}"


def _body(details: Details) -> bytes:
    if "json" not in details:
        body = details.get("body", b"")
        if not isinstance(body, bytes):
            raise LocalProtocolError(f"a body is bytes, not {type(body).__name__}; see json=")
        return body
    if details.get("body"):
        raise LocalProtocolError("a call has one body: json= or body=, not both")
    return orjson.dumps(details["json"], default=msgspec.to_builtins)
