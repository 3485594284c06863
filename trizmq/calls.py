"""What the broker and the worker both keep of a call in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .messages import Principal
    from .wire.items import Body, Call

__all__ = ["Work"]


class Work:
    """A call in hand, with what its item said: read once, for a field of ours costs less.

    Attributes:
      id: its client's, or the broker's for its worker.
      principal: who calls, if that is known.
      deadline: on Trio's clock.
      request_id: the caller's ``x-request-id``, or a name that was made for this call.
      ended: its caller has had its outcome, or has gone.

    """

    # Written out, not a dataclass, as are those below: one is made for each call.
    def __init__(self, call: Call, deadline: float, name: str) -> None:
        headers = call.headers
        self.id = call.id
        self.method = call.method
        self.target = call.target
        self.headers = headers
        self.body: Body = call.body
        self.principal: Principal | None = None
        self.deadline = deadline
        self.request_id = headers.get("x-request-id") or name
        self.ended = False
