"""Between MDP's commands and trizmq's items: what any client needs to reach any worker.

MDP knows a service and a body; an item also has a method, headers, a deadline, a status.
Frame boundaries are kept.
"""

from __future__ import annotations

from typing import Final

from ..messages import JSON, PROBLEM, problem
from . import head
from .items import Call, Part, Response, body_of, frames_of
from .mdp import ClientFinal, ClientPartial, ClientRequest, Reply

__all__ = ["DEFAULT_TTL_MS", "call_of", "media_type", "reply_of", "request_of", "unsent"]

#: Milliseconds for a call that comes without a deadline: MDP has no word for one (promise P6).
DEFAULT_TTL_MS: Final = 30_000


def call_of(request: ClientRequest) -> Call:
    """Return what an MDP client asks for, as a call with the id 0.

    Raises:
      RemoteProtocolError: if the service frame is no head.

    """
    method, target, headers = head.read(request.service)
    return Call(0, DEFAULT_TTL_MS, method, target, headers, body_of(request.body))


def request_of(call: Call) -> ClientRequest:
    """Return a call as an MDP client asks for it; id and deadline are lost.

    Raises:
      LocalProtocolError: if method, target or headers cannot be said in a head.

    """
    service = head.write(head.Head(call.method, call.target, call.headers))
    return ClientRequest(service, tuple(frames_of(call.body)))


def reply_of(item: Response | Part, service: bytes) -> Reply:
    """Return what an MDP client is told: a part as PARTIAL, a response as FINAL."""
    if isinstance(item, Part):
        return ClientPartial(service, tuple(frames_of(item.body)))
    return ClientFinal(service, tuple(_told(item)))


def _told(response: Response) -> list[bytes]:
    # MDP has no status. So a body alone says that all went well, and everything else says
    # what it is by itself.
    if 200 <= response.status < 300 or media_type(response.headers) == PROBLEM:
        return frames_of(response.body)
    return [problem(response.status).body]


def unsent(response: Response, detail: str = "the response cannot be written") -> Response:
    """Return what takes the place of a response that cannot be sent."""
    failure = problem(500, detail, executed="maybe")
    return Response(response.id, failure.status, failure.headers, failure.body)


def media_type(headers: dict[str, str]) -> str:
    """Return the type of a body with these headers, without parameters; JSON if none is given."""
    for name, value in headers.items():
        if name.lower() == "content-type":
            return value.partition(";")[0].strip().lower()
    return JSON
