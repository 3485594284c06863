"""What the client's engine wants done, besides sending."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from .links import Link, Pending

__all__ = ["ClientOutbox"]


@final
@dataclass(eq=False)
class ClientOutbox:
    """What is to be done now, besides sending each link's ``outgoing``."""

    #: Their outcome is there: wake who waits for it.
    ended: list[Pending] = field(default_factory=list)
    #: End their connection; a new one follows.
    reopen: list[Link] = field(default_factory=list)
    #: Exceptions that were survived, to be logged.
    faults: list[Exception] = field(default_factory=list)
