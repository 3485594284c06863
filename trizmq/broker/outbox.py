"""What the broker wants done, and what it has counted."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from ..admission import Event
    from ..wire.items import Item
    from .calls import Flight

__all__ = ["Counters", "Outbox"]


@final
@dataclass(eq=False)
class Outbox:
    """What is to be done now. The driver takes it, does it, and never hands it back."""

    #: To native clients: routing id to items, in order; to be sent in batches.
    items: dict[bytes, list[Item]] = field(default_factory=dict)
    #: To clients of other dialects: routing id, frames.
    messages: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    #: To native workers on the backend, as ``items``.
    worker_items: dict[bytes, list[Item]] = field(default_factory=dict)
    #: To MDP workers on the backend, as ``messages``.
    worker_messages: list[tuple[bytes, list[bytes]]] = field(default_factory=list)
    #: To the local worker: start this; `Broker.finish` is to be called once for each.
    dispatched: list[Flight] = field(default_factory=list)
    #: To the local worker: stop this. (It has ended here; `Broker.finish` is still wanted.)
    abandoned: list[Flight] = field(default_factory=list)
    #: For who observes.
    events: list[Event] = field(default_factory=list)
    #: Exceptions that were survived, to be logged.
    faults: list[Exception] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be done."""
        return not (
            self.items
            or self.messages
            or self.dispatched
            or self.abandoned
            or self.worker_items
            or self.worker_messages
            or self.events
            or self.faults
        )

    def take(self) -> Outbox:
        """Return what is in it, and empty it."""
        taken = Outbox(
            self.items,
            self.messages,
            self.worker_items,
            self.worker_messages,
            self.dispatched,
            self.abandoned,
            self.events,
            self.faults,
        )
        self.items, self.messages, self.worker_items, self.worker_messages = {}, [], {}, []
        self.dispatched, self.abandoned, self.events, self.faults = [], [], [], []
        return taken

    def say(self, address: bytes, item: Item) -> None:
        """Tell a native client."""
        _append(self.items, address, item)

    def assign(self, address: bytes, item: Item) -> None:
        """Tell a native worker."""
        _append(self.worker_items, address, item)


def _append(items: dict[bytes, list[Item]], address: bytes, item: Item) -> None:
    batch = items.get(address)
    if batch is None:
        items[address] = [item]
    else:
        batch.append(item)


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
