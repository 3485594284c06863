"""The frontend of the broker's own process: its clients need no socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from .clients import LocalPeer

if TYPE_CHECKING:
    from ..wire.items import Call
    from .acceptance import Acceptance
    from .dispatcher import Dispatcher
    from .guard import Guard
    from .outbox import Context

__all__ = ["LocalFrontend"]


@final
class LocalFrontend:
    """The clients in the broker's own process: their calls and cancellations.

    The driver calls the methods; what it should pass to the clients is in ``Outbox.answered``.
    """

    def __init__(
        self, context: Context, acceptance: Acceptance, dispatcher: Dispatcher, guard: Guard
    ) -> None:
        self.clients: list[LocalPeer] = []
        self._context = context
        self._acceptance = acceptance
        self._dispatcher = dispatcher
        self._guard = guard

    def add(self, instance: str) -> LocalPeer:
        """Return a new client; ``instance``: the prefix of its request ids."""
        peer = LocalPeer(self._context.outbox, instance, self._context.limits.takes)
        self.clients.append(peer)
        return peer

    def remove(self, peer: LocalPeer, now: float) -> None:
        """Remove a client, and cancel its calls."""
        self._dispatcher.now = now
        for flight in list(peer.flights.values()):
            self._dispatcher.give_up(flight)
        self.clients.remove(peer)

    def submit(self, peer: LocalPeer, call: Call, now: float) -> None:
        """Handle a call of a client."""
        try:
            self._acceptance.take(peer, call, None, now, thorough=True)
        except Exception as error:
            self._guard.end_item(peer, call, None, error)

    def grant(self, peer: LocalPeer, call_id: int, more: int, now: float) -> None:
        """Accept ``more`` further bytes of a streamed response."""
        self._dispatcher.now = now
        flight = peer.flights.get(call_id)
        if flight is not None:
            self._dispatcher.grant(flight, more)

    def cancel(self, peer: LocalPeer, call_id: int, now: float) -> None:
        """Cancel a call of a client, if it has not ended."""
        self._dispatcher.now = now
        flight = peer.flights.get(call_id)
        if flight is not None:
            self._dispatcher.give_up(flight)
