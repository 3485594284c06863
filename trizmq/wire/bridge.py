"""Conversion between MDP's commands and trizmq's items, so that any client reaches any worker.

MDP has only a service and a body; items also have a method, headers, a deadline and a status.
Frame boundaries are preserved.
"""

from __future__ import annotations

from typing import Final

from ..messages import JSON, PROBLEM, problem
from . import head
from .items import Call, Part, Response, body_of, frames_of
from .mdp import ClientFinal, ClientPartial, ClientRequest, Reply

__all__ = ["DEFAULT_TTL_MS", "call_of", "media_type", "reply_of", "request_of", "unsent"]

#: Milliseconds for a call without a deadline, because MDP cannot express one (promise P6).
DEFAULT_TTL_MS: Final = 30_000


def call_of(request: ClientRequest) -> Call:
    """Convert an MDP client's request to a call with the id 0.

    Raises:
      RemoteProtocolError: if the service frame is not a valid head.

    """
    method, target, headers = head.read(request.service)
    return Call(0, DEFAULT_TTL_MS, method, target, headers, body_of(request.body))


def request_of(call: Call) -> ClientRequest:
    """Convert a call to an MDP client's request, without its id and deadline.

    Raises:
      LocalProtocolError: if method, target or headers are not valid in a head.

    """
    service = head.write(head.Head(call.method, call.target, call.headers))
    return ClientRequest(service, tuple(frames_of(call.body)))


def reply_of(item: Response | Part, service: bytes) -> Reply:
    """Convert a part to an MDP client's PARTIAL, and a response to its FINAL."""
    if isinstance(item, Part):
        return ClientPartial(service, tuple(frames_of(item.body)))
    return ClientFinal(service, tuple(_told(item)))


def _told(response: Response) -> list[bytes]:
    # MDP has no status. A plain body therefore means success, and any other response is a problem
    # document, which contains its status.
    if 200 <= response.status < 300 or media_type(response.headers) == PROBLEM:
        return frames_of(response.body)
    return [problem(response.status).body]


def unsent(response: Response, detail: str = "the response cannot be written") -> Response:
    """Return the replacement for a response that cannot be sent."""
    failure = problem(500, detail, executed="maybe")
    return Response(response.id, failure.status, failure.headers, failure.body)


def media_type(headers: dict[str, str]) -> str:
    """Return the media type of a body with these headers, without parameters; by default JSON."""
    for name, value in headers.items():
        if name.lower() == "content-type":
            return value.partition(";")[0].strip().lower()
    return JSON
