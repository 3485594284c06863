"""What a broker hook sees of a call, and what it may say about it.

The hook `trizmq_admit` is asked when a client's call has been read, before any worker is
given it (``call.response`` is None). An implementation that takes ``response`` as well is
asked again when a worker's response is there, before the client is sent it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from .messages import Principal, Response

__all__ = ["AdmittedCall", "Discard", "Event", "Forward", "Reject", "SendTo", "Verdict"]


class AdmittedCall(msgspec.Struct, frozen=True):
    """One call, as the broker sees it: the body is not opened, only passed on.

    Attributes:
      service: the first segment of the path, decoded.
      method: upper case.
      target: the path, with the query behind a ``?``.
      headers: the caller's; names in lower case.
      body: the frames as they came.
      dialect: what the client speaks: ``"native"``, ``"mdp01"``, ``"mdp02"``, ``"majortomo"``,
        ``"packed"`` or ``"plain"``.
      request_id: as in everybody's logs.
      has_public_routes: whether some route of the service is public.
      principal: who calls, once a hook has said so (`Forward`).
      worker: the name of the worker that answered; empty on the way in.
      response: what a worker answered; None on the way in.

    """

    service: str
    method: str
    target: str
    headers: dict[str, str]
    body: tuple[bytes, ...]
    dialect: str
    request_id: str
    has_public_routes: bool = False
    principal: Principal | None = None
    worker: str = ""
    response: Response | None = None


class Forward(msgspec.Struct, frozen=True):
    """Let it pass; ``principal``, if given, is who the worker is told calls."""

    principal: Principal | None = None


class Discard(msgspec.Struct, frozen=True):
    """Drop it without a word. Its caller waits until its deadline: prefer `Reject`."""


class Reject(msgspec.Struct, frozen=True):
    """Answer it with an error at once; no worker sees it.

    Args:
      status: 400..599.
      detail: for the caller's eyes.
      headers: added to the problem document's.

    """

    status: int
    detail: str | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class SendTo(msgspec.Struct, frozen=True):
    """Give it to another: a service, or a worker by the name that ``mmi.workers`` shows.

    Of a response this is a retry elsewhere: the response is dropped. Nobody by that name:
    503, as for any service that is not there. ``principal`` as in `Forward`.
    """

    service: str = ""
    worker: str = ""
    principal: Principal | None = None


#: None is as good as ``Forward()``.
Verdict: TypeAlias = Forward | Discard | Reject | SendTo | None


class Event(msgspec.Struct, frozen=True):
    """Something that happened at the broker, for `trizmq_on_event`.

    Attributes:
      kind: ``"worker-ready"``, ``"worker-lost"``, ``"worker-left"``, ``"worker-refused"``,
        ``"client-gone"``, ``"oversize"`` (a response was larger than its caller takes),
        ``"drain"``, ``"reload"``.
      name: of whom: a worker's name, a client's instance; a refused worker's dialect; else
        empty.
      services: the worker's.
      reason: in a few words, for people.

    """

    kind: str
    name: str = ""
    services: tuple[str, ...] = ()
    reason: str = ""
