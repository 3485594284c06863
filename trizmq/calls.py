"""The record of a call that the broker and the worker have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from .messages import Principal
    from .wire.items import Body, Call

__all__ = ["Work"]

_fields: Final[Any] = msgspec.structs.astuple


class Work:
    """A call in progress, with the fields of its item, copied because plain fields are faster.

    Attributes:
      id: the client's id, or the broker's id for its worker.
      principal: the caller, if known.
      ttl: the milliseconds until its deadline, when it was sent.
      sent_at: when it was sent, see `Call.sent`.
      window: bytes that its caller accepts of a streamed response, see `Call.window`.
      deadline: on Trio's clock.
      request_id: the caller's ``x-request-id``, or an id created for this call.
      ended: whether the call has ended, or its caller has gone.

    """

    # Written out instead of using a dataclass, like its subclasses: one is created for each call.
    def __init__(self, call: Call, deadline: float, name: str) -> None:
        # All fields at once: this costs as much as reading two of them.
        found: tuple[int, int, str, str, dict[str, str], Body, Any, Any, int, int] = _fields(call)
        (
            self.id,
            self.ttl,
            self.method,
            self.target,
            headers,
            self.body,
            _,
            _,
            self.sent_at,
            self.window,
        ) = found
        self.headers = headers
        self.principal: Principal | None = None
        self.deadline = deadline
        self.request_id = headers.get("x-request-id") or name
        self.ended = False
