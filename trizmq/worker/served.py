"""A request that somebody waits for, with what it takes to answer it."""

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
    """A request that somebody waits for, and what it takes to answer it later."""

    flight: W
    owe: Callable[[Served[W]], Later]
    began: float = 0.0

    def __repr__(self) -> str:  # the engine's records are no handler's business
        return f"<Request {self.request_id}: {self.method} {self.path}>"

    def reply_later(self) -> Later:
        if self.later is None:
            self.later = self.owe(self)
        return self.later
