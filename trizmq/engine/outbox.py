"""What the broker's engine wants done: messages to send, calls to start and to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from ..admission import Event
    from ..wire.items import Item
    from .records import Flight

__all__ = ["Outbox"]


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
