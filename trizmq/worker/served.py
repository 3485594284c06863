"""A request with the information that is needed to respond to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from ..calls import Work
from ..messages import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..later import Later

__all__ = ["Served", "W"]

W = TypeVar("W", bound=Work)


class Served(Request, Generic[W], kw_only=True, eq=False):
    """A request whose caller is waiting, with the means to respond to it later."""

    flight: W
    owe: Callable[[Served[W]], Later]
    began: float = 0.0

    def __repr__(self) -> str:  # handlers should not see the engine's records
        return f"<Request {self.request_id}: {self.method} {self.path}>"

    def reply_later(self) -> Later:
        if self.later is None:
            self.later = self.owe(self)
        return self.later
