"""What the broker counts: every call, and everything that it dropped or refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import final

__all__ = ["Counters"]


@final
@dataclass(eq=False)
class Counters:
    """Since the start.

    ``calls`` is the sum of answered, refused, expired, cancelled, lost and in flight.
    """

    #: Calls that were read, well-formed, whatever became of them.
    calls: int = 0
    #: Ended by the response of a handler, or by the broker's own about itself.
    answered: int = 0
    #: Refused by the broker: over a limit, no such service, draining.
    refused: int = 0
    #: The deadline passed, in the queue or at a worker.
    expired: int = 0
    #: Given up by the caller, or the caller has gone.
    cancelled: int = 0
    #: Ended by a 502: the worker was lost, or its parts did not fit.
    lost: int = 0
    #: Given to another worker, because the first was lost.
    redispatched: int = 0
    #: Replies of workers to calls that were not theirs to answer: dropped.
    forged: int = 0
    #: Commands of workers that were valid, and out of place: answered by DISCONNECT.
    disconnected: int = 0
    #: Responses of handlers whose call had ended before: dropped.
    late: int = 0
    #: Messages that no dialect knows: dropped.
    malformed: int = 0
    #: Exceptions in the broker's own code that a message brought out; its call got a 500.
    faults: int = 0
    #: Items that a client has no business to send, or an id in use: dropped.
    unexpected: int = 0
    #: Responses to peers that read too slowly: dropped.
    slow: int = 0
    #: Responses to peers that have gone: dropped.
    gone: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return name and count of each."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
