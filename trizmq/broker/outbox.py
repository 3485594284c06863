"""The outboxes and the counters of the broker, and the state that all its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import count
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..hook_values import Event
    from ..limits import Limits
    from ..wire.items import Head, Item, Part, Response

__all__ = ["Context", "Counters", "Outbox", "SocketOutbox"]


@final
class SocketOutbox:
    """The messages that one socket should send. The driver takes them, and never returns them.

    Attributes:
      items: for native peers: routing id to items, in order; they are sent in batches.
      messages: for peers of other dialects: routing ids and frames.
      slow: addresses of peers that do not read their responses; the transport updates it.

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
        """Add an item for a native peer."""
        batch = self.items.get(address)
        if batch is None:
            self.items[address] = [item]
        else:
            batch.append(item)

    def take_items(self) -> dict[bytes, list[Item]]:
        """Return the items, and empty the outbox of them."""
        items, self.items = self.items, {}
        return items

    def take_messages(self) -> list[tuple[bytes, list[bytes]]]:
        """Return the messages, and empty the outbox of them."""
        messages, self.messages = self.messages, []
        return messages


@final
@dataclass(eq=False)
class Outbox:
    """What the driver should do in addition to sending. It takes this, and never returns it.

    Attributes:
      started: calls to start at the worker in this process; it must call `Broker.finish` once
        for each.
      stopped: calls to stop there, because they have ended. (`Broker.finish` is still due.)
      granted: calls there with further bytes that their streamed responses may send.
      answered: responses to clients in this process, with the `LocalPeer` of each.
      events: events for observers.
      faults: exceptions that were caught, for the log.

    """

    started: list[Any] = field(default_factory=list)  # of `calls.Flight`, which imports this
    stopped: list[Any] = field(default_factory=list)
    granted: list[tuple[Any, int]] = field(default_factory=list)
    answered: list[tuple[object, Response | Head | Part]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.started
            or self.stopped
            or self.answered
            or self.events
            or self.faults
            or self.granted
        )

    def take(self) -> Outbox:
        """Return the contents, and empty the outbox."""
        taken = Outbox(
            self.started, self.stopped, self.granted, self.answered, self.events, self.faults
        )
        self.started, self.stopped, self.granted = [], [], []
        self.answered, self.events, self.faults = [], [], []
        return taken


@final
@dataclass(eq=False)
class Counters:
    """The counters since the start.

    ``calls`` is the sum of answered, refused, expired, cancelled, lost and in flight.
    """

    #: Well-formed calls that were read, whatever their outcome.
    calls: int = 0
    #: Calls that ended with a response of a worker or of the broker's own services.
    answered: int = 0
    #: Calls that the broker refused: over a limit, no such service, draining, a hook.
    refused: int = 0
    #: Calls whose deadline passed, in the queue or at a worker.
    expired: int = 0
    #: Calls that the caller cancelled, or whose caller has gone.
    cancelled: int = 0
    #: Calls that ended with a 502 or 500: worker lost, invalid response, fault of the broker.
    lost: int = 0
    #: Dispatches to another worker, because the first was lost or a hook requested it.
    redispatched: int = 0
    #: Replies of workers to calls that they did not have: dropped.
    forged: int = 0
    #: Workers that were disconnected, most of them because of an unexpected command.
    disconnected: int = 0
    #: Responses to calls that had already ended: dropped.
    late: int = 0
    #: Messages in no known dialect, which are dropped, and malformed calls and commands.
    malformed: int = 0
    #: Exceptions in the broker's own code while it handled a message; its call gets a 500.
    faults: int = 0
    #: Items that a peer must not send, and calls whose id is in use: dropped.
    unexpected: int = 0
    #: Responses to peers that read too slowly: dropped.
    slow: int = 0
    #: Responses to peers that have gone: dropped.
    gone: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return each counter by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@final
class Context:
    """The state that all parts of one broker share.

    Attributes:
      instance: identifies this run of the broker.
      tokens: numbers for tokens; with ``instance`` as prefix, unique among all brokers.
      children: the names of the workers that are child processes of this one, by the secret that
        each sends as its instance.

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
