"""The last resort: what our own code fails at ends as one call's 500, and as nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..messages import problem
from ..wire.items import Call, Response
from . import statuses

if TYPE_CHECKING:
    from ..wire.items import Item
    from ..wire.return_path import ReturnPath
    from .calls import Flight
    from .clients import Peer
    from .dispatcher import Dispatcher
    from .outbox import Context

__all__ = ["Guard"]

FAULT: Final = "a fault in the broker: its log says where"


@final
class Guard:
    """Ends the call that the broker's own code has failed at, and keeps the fault for the log.

    Nothing here raises: an exception while a call is being ended is a fault like the first.
    """

    def __init__(self, context: Context, dispatcher: Dispatcher) -> None:
        self._counters = context.counters
        self._outbox = context.outbox
        self._dispatcher = dispatcher

    def note(self, error: Exception) -> None:
        """Keep a fault that belongs to no call."""
        self._counters.faults += 1
        self._outbox.faults.append(error)

    def end_item(
        self, peer: Peer, item: Item, return_path: ReturnPath | None, error: Exception
    ) -> None:
        """Answer what a client sent, if it is a call, after ``error``."""
        self.note(error)
        if not isinstance(item, Call):
            return
        flight = peer.flights.get(item.id)
        if flight is not None:
            self._stop(flight)
        else:
            self._answer(peer, item.id, return_path)

    def end_flight(self, flight: Flight, error: Exception) -> None:
        """End a call after ``error``, if it has not ended."""
        self.note(error)
        if not flight.ended:
            self._stop(flight)

    def _stop(self, flight: Flight) -> None:
        try:
            self._counters.lost += 1
            self._dispatcher.stop(flight, statuses.refusal(flight, 500, FAULT))
        except Exception as error:
            self.note(error)

    def _answer(self, peer: Peer, call_id: int, return_path: ReturnPath | None) -> None:
        outcome = problem(500, FAULT, executed="no")
        item = Response(call_id, outcome.status, outcome.headers, outcome.body)
        peer.end(item, return_path)
