"""What the broker wants done, what it has counted, and what all its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import count
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..hook_values import Event
    from ..limits import Limits
    from ..wire.items import Item, Response

__all__ = ["Context", "Counters", "Outbox", "SocketOutbox"]


@final
class SocketOutbox:
    """What one socket should send. The driver takes it, and never hands it back.

    Attributes:
      items: to native peers: routing id to items, in order; to be sent in batches.
      messages: to peers of other dialects: routing id, frames.
      slow: addresses of peers that do not read what they asked for, kept by the transport.

    """

    def __init__(self) -> None:
        self.items: dict[bytes, list[Item]] = {}
        self.messages: list[tuple[bytes, list[bytes]]] = []
        self.slow: set[bytes] = set()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not (self.items or self.messages)

    def say(self, address: bytes, item: Item) -> None:
        """Send an item to a native peer."""
        batch = self.items.get(address)
        if batch is None:
            self.items[address] = [item]
        else:
            batch.append(item)

    def take_items(self) -> dict[bytes, list[Item]]:
        """Return the items, and start anew."""
        items, self.items = self.items, {}
        return items

    def take_messages(self) -> list[tuple[bytes, list[bytes]]]:
        """Return the messages, and start anew."""
        messages, self.messages = self.messages, []
        return messages


@final
@dataclass(eq=False)
class Outbox:
    """What the driver is to do besides sending. It takes it, and never hands it back.

    Attributes:
      started: start these calls at the worker in this process; `Broker.finish` is wanted once
        for each.
      stopped: stop these there: they have ended here. (`Broker.finish` is still wanted.)
      answered: responses to clients in this process, with the `LocalPeer` of each.
      events: for those that observe.
      faults: exceptions that were survived, to be logged.

    """

    started: list[Any] = field(default_factory=list)  # of `calls.Flight`, which imports this
    stopped: list[Any] = field(default_factory=list)
    answered: list[tuple[object, Response]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be done."""
        return not (self.started or self.stopped or self.answered or self.events or self.faults)

    def take(self) -> Outbox:
        """Return what is in it, and empty it."""
        taken = Outbox(self.started, self.stopped, self.answered, self.events, self.faults)
        self.started, self.stopped, self.answered = [], [], []
        self.events, self.faults = [], []
        return taken


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


@final
class Context:
    """What all parts of one broker share.

    Attributes:
      instance: names this life of it.
      tokens: no other call, and no other broker's, has had the same (with ``instance`` before it).
      children: the names of workers that are children of this process, by what these call
        themselves.

    """

    def __init__(self, limits: Limits, instance: str) -> None:
        self.limits = limits
        self.instance = instance
        self.counters = Counters()
        self.outbox = Outbox()
        self.foreign_ids: Iterator[int] = count(1)
        self.mdp_numbers: Iterator[int] = count(1)
        self.tokens: Iterator[int] = count(1)
        self.children: dict[str, str] = {}
