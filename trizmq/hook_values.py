"""The arguments and results of the broker hooks.

The hook `trizmq_admit` is called when a client's call has been read, before any worker receives
it. The hook `trizmq_admit_reply` is called when a worker has responded, before the client receives
the response.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from .messages import Principal, Response

__all__ = ["AdmittedCall", "Discard", "Event", "Forward", "Reject", "SendTo", "Verdict"]


class AdmittedCall(msgspec.Struct, frozen=True):
    """A call at the broker. The body is not decoded, only passed on.

    Attributes:
      service: the first segment of the path, decoded.
      method: in upper case.
      target: the path, with the query after a ``?``.
      headers: the caller's headers, with names in lower case.
      body: the frames as received.
      dialect: the client's dialect: ``"native"``, ``"mdp01"``, ``"mdp02"``, ``"majortomo"``,
        ``"packed"`` or ``"plain"``.
      request_id: the id that appears in all logs.
      has_public_routes: whether anyone may call some path of the service: it has a public route, or
        it is the broker's own (``mmi``).
      principal: the caller, if a hook has set it (`Forward`).
      worker: the name of the worker that responded; empty before that.
      response: the worker's response; None before that.

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
    """Let the call pass. ``principal``, if given, becomes the principal at the worker."""

    principal: Principal | None = None


class Discard(msgspec.Struct, frozen=True):
    """Drop the call without a response. Its caller waits until the deadline: prefer `Reject`."""


class Reject(msgspec.Struct, frozen=True):
    """Respond with an error immediately; no worker receives the call.

    Args:
      status: 400..599.
      detail: shown to the caller.
      headers: added to those of the problem document.

    """

    status: int
    detail: str | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class SendTo(msgspec.Struct, frozen=True):
    """Send the call to another service, or to a worker with a name from ``mmi.workers``.

    For a response, this means a retry at another worker: the response is dropped. If there is no
    such service or worker, the call gets a 503. ``principal`` is the same as in `Forward`.
    """

    service: str = ""
    worker: str = ""
    principal: Principal | None = None


#: None means the same as ``Forward()``.
Verdict: TypeAlias = Forward | Discard | Reject | SendTo | None


class Event(msgspec.Struct, frozen=True):
    """An event at the broker, for `trizmq_on_event`.

    Attributes:
      kind: ``"worker-ready"``, ``"worker-lost"``, ``"worker-left"``, ``"worker-refused"``,
        ``"client-gone"``, ``"oversize"`` (a response exceeded its caller's limits), ``"drain"``,
        ``"reload"``.
      name: the name of the worker, the instance of the client, or the dialect of a refused
        worker; otherwise empty.
      services: the services of the worker.
      reason: a short explanation for people.

    """

    kind: str
    name: str = ""
    services: tuple[str, ...] = ()
    reason: str = ""
