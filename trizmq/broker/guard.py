"""The guard: an exception in the broker's own code ends one call with a 500, and no other."""

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

FAULT: Final = "the broker failed: its log shows where"


@final
class Guard:
    """Ends the call for which the broker's code has raised, and records the fault for the log.

    Nothing here raises: an exception while a call is being ended is recorded like the first.
    """

    def __init__(self, context: Context, dispatcher: Dispatcher) -> None:
        self._counters = context.counters
        self._outbox = context.outbox
        self._dispatcher = dispatcher

    def note(self, error: Exception) -> None:
        """Record a fault that belongs to no call."""
        self._counters.faults += 1
        self._outbox.faults.append(error)

    def end_item(
        self, peer: Peer, item: Item, return_path: ReturnPath | None, error: Exception
    ) -> None:
        """If ``item`` is a call, end it with a 500, after ``error``."""
        self.note(error)
        if not isinstance(item, Call):
            return
        flight = peer.flights.get(item.id)
        if flight is not None:
            self._stop(flight)
        else:
            self._answer(peer, item.id, return_path)

    def end_flight(self, flight: Flight, error: Exception) -> None:
        """End a call with a 500 after ``error``, if it has not ended."""
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
