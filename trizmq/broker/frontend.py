"""A frontend: one socket for native clients and clients of other dialects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import msgspec

from ..bounds import narrower
from ..deadlines import NEVER
from ..hook_values import Event
from ..messages import problem
from ..pulse import Pulse
from ..wire.items import VERSION, Call, Cancel, Credit, Goaway, Heartbeat, Hello, Response
from . import statuses
from .absence import Absence
from .clients import Clients, NativePeer
from .outbox import SocketOutbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..wire.items import Item
    from ..wire.return_path import ReturnPath
    from .acceptance import Acceptance
    from .dispatcher import Dispatcher
    from .guard import Guard
    from .outbox import Context

__all__ = ["Frontend"]

#: The window of a native client is a quarter of its bytes; it gets a heartbeat when a quarter of
#: that has been read.
WINDOWS: Final = 4

#: A constant of this module, because compiled code looks up imported names for each item.
_CALL: Final = Call


@final
class Frontend:
    """Handles the hellos, calls, cancellations and disconnections of the clients at one socket.

    The driver reads the socket, calls the methods, and sends the contents of ``outbox``.
    """

    def __init__(
        self,
        context: Context,
        acceptance: Acceptance,
        dispatcher: Dispatcher,
        guard: Guard,
    ) -> None:
        limits = context.limits
        self.outbox = SocketOutbox()
        self.clients = Clients(self.outbox, limits.takes)
        self._pulse = Pulse(NEVER, limits.heartbeat)
        self._by_key: dict[str, NativePeer] = {}
        self._absence = Absence(limits.client_bytes)
        self._part_bytes = limits.part_bytes
        self._takes = limits.takes
        window = limits.client_bytes // WINDOWS
        self._read_bytes = window // WINDOWS
        self._hello = Hello(
            VERSION, context.instance, limits.client_calls, takes=self._takes, window=window
        )
        self._context = context
        self._counters = context.counters
        self._unsent_bytes = 0
        self._acceptance = acceptance
        self._dispatcher = dispatcher
        self._guard = guard

    # -- messages from clients ---------------------------------------------------------

    def receive(self, address: bytes, items: Sequence[Item], now: float, size: int) -> None:
        """Handle a message of a native client: ``size`` bytes, decoded to ``items``."""
        self._dispatcher.now = now
        peer = self.clients.native.get(address)
        if peer is None:
            peer = self._greet(address, items, now)
            if peer is None:
                return
            items = items[1:]
        thorough = size > self._part_bytes
        for item in items:
            kind = type(item)
            try:
                if kind is _CALL:
                    self._acceptance.take(peer, item, None, now, thorough=thorough)  # type: ignore[arg-type]
                elif kind is Goaway:
                    self._lose(address)
                    return
                else:
                    self._read(peer, item)
            except Exception as error:
                self._guard.end_item(peer, item, None, error)
        if thorough:
            self._note_read(peer, size)

    def _read(self, peer: NativePeer, item: Item) -> None:
        match item:
            case Cancel(id=call_id):
                flight = peer.flights.get(call_id)
                if flight is not None:  # else it has just ended
                    self._dispatcher.give_up(flight)
            case Credit(id=call_id, more=more):
                flight = peer.flights.get(call_id)
                if flight is not None and not (flight.window and more > 0):
                    self._counters.unexpected += 1
                elif flight is not None:  # else its end is in transit
                    self._dispatcher.grant(flight, more)
            case Hello():
                self.outbox.say(peer.address, self._hello)  # the first may have been lost
            case Heartbeat():
                pass
            case _:
                self._counters.unexpected += 1

    def _note_read(self, peer: NativePeer, size: int) -> None:
        """Count the bytes read of a client's large messages; send a heartbeat now and then."""
        peer.read += size
        if peer.read >= self._read_bytes:
            peer.read = 0
            peer.spoken_to = True
            self.outbox.say(peer.address, Heartbeat(peer.seen))

    def receive_foreign(
        self, address: bytes, call: Call, return_path: ReturnPath, now: float
    ) -> None:
        """Handle a call of another dialect; its response goes to ``return_path``."""
        call.id = next(self._context.foreign_ids)
        peer = self.clients.foreign_peer(address, return_path)
        try:
            self._acceptance.take(peer, call, return_path, now, thorough=True)
        except Exception as error:
            self._guard.end_item(peer, call, return_path, error)

    def refuse_malformed(
        self, address: bytes, return_path: ReturnPath, status: int, detail: str
    ) -> None:
        """Respond to a malformed call that has a valid return path."""
        self._counters.malformed += 1
        outcome = problem(status, detail, executed="no")
        item = Response(0, outcome.status, outcome.headers, outcome.body)
        self.outbox.messages.append((address, return_path.encode(item)))

    # -- hellos ------------------------------------------------------------------------

    def _greet(self, address: bytes, items: Sequence[Item], now: float) -> NativePeer | None:
        """Handle the first message on a connection; return the client, or None if refused."""
        hello = items[0]
        if not isinstance(hello, Hello):
            # We have abandoned it, or an earlier broker at this endpoint knew it. The goaway
            # contains the id before the first of these calls, which were not read.
            ids = [item.id for item in items if isinstance(item, Call)]
            self.outbox.say(address, Goaway("unknown", min(ids) - 1 if ids else -1))
            return None
        if hello.version != VERSION:
            self.outbox.say(address, Goaway("version"))
            return None
        self._pulse.start(now)
        peer = self._by_key.get(hello.key)
        if peer is None:
            peer = NativePeer(self.outbox, address, hello.instance, self._takes, hello.key)
            peer.seen = self._seen_of(hello)
        else:
            # We may not know that the old connection has ended: what still arrives on it is
            # from an unknown client from now on.
            self.clients.native.pop(peer.address, None)
            peer.address = address
        peer.takes = narrower(hello.takes, self._takes) or self._takes
        self.clients.native[address] = peer
        if hello.key:
            self._by_key[hello.key] = peer
        self._resume(peer, hello)
        if self._acceptance.is_draining:
            self.outbox.say(address, Goaway("draining"))
        return peer

    def _seen_of(self, hello: Hello) -> int:
        """Return the id of the last call that was read from a client that is not known now."""
        seen = self._absence.recall(hello.key)
        if seen is None and hello.resumes == self._hello.instance:
            seen = max(hello.in_flight, default=0)  # any of them may have been read
        return seen or 0

    def _resume(self, peer: NativePeer, hello: Hello) -> None:
        """Send a hello with the ids of lost calls, then what the client has missed."""
        kept = self._absence.end(peer)
        if hello.resumes != self._hello.instance:
            self.outbox.say(peer.address, self._hello)
        else:
            answered = {item.id for item in kept if isinstance(item, Response)}
            lost = [
                one
                for one in hello.in_flight
                if one <= peer.seen and one not in peer.flights and one not in answered
            ]
            answer = msgspec.structs.replace(self._hello, seen=peer.seen, lost=tuple(lost))
            self.outbox.say(peer.address, answer)
            for item in kept:
                self.outbox.say(peer.address, item)
        if hello.resumes:
            for flight in list(peer.flights.values()):
                if flight.id not in hello.in_flight:
                    self._dispatcher.give_up(flight)  # its caller has gone meanwhile

    @property
    def bytes_elsewhere(self) -> int:
        """The bytes of calls in flight, and the unread bytes of other frontends' clients."""
        calls = self._dispatcher.calls
        return calls.held_bytes + calls.unsent_bytes - self._unsent_bytes

    def note_unsent(self, size: int) -> None:
        """Record the number of bytes that clients have not read; they count as held, too."""
        self._dispatcher.calls.unsent_bytes += size - self._unsent_bytes
        self._unsent_bytes = size

    # -- clients that have gone, or do not read ------------------------------------------

    def lose(self, address: bytes, now: float) -> None:
        """Forget the clients at ``address``, which is disconnected, and cancel their calls."""
        self._dispatcher.now = now
        self._lose(address)

    def _lose(self, address: bytes) -> None:
        native = self.clients.native.get(address)
        if native is not None:
            self._by_key.pop(native.key, None)
            self._counters.gone += len(self._absence.end(native))
            self._absence.remember(native)
        for peer in self.clients.forget(address):
            self._context.outbox.events.append(Event("client-gone", peer.instance))
            for flight in list(peer.flights.values()):
                self._dispatcher.give_up(flight)

    def miss(self, address: bytes, items: Iterable[Item], now: float) -> None:
        """Keep ``items``, which could not be sent: nothing is connected at ``address``.

        A native client may come back, so its calls continue for a while. Others are lost at once.
        """
        self._dispatcher.now = now
        peer = self.clients.native.get(address)
        if peer is None or not peer.key:
            self._lose(address)
        else:
            self._absence.begin(peer, now)
            self._absence.keep(peer, items)

    def give_up_slow(self, address: bytes, now: float, unsent: Sequence[Response] = ()) -> None:
        """End the calls of a client that does not read: messages to it were dropped.

        Its calls in flight end with a 502, and so do those whose responses are ``unsent``.
        (Errors among these are sent again, because they are small.)
        """
        self._dispatcher.now = now
        outcome = problem(502, statuses.UNREAD, executed="maybe")
        for peer in self.clients.at(address):
            for flight in list(peer.flights.values()):
                self._counters.lost += 1
                self._dispatcher.stop(flight, statuses.unread(flight))
        for item in unsent:
            if item.status < 400:
                item = Response(item.id, outcome.status, outcome.headers, outcome.body)
            self.outbox.say(address, item)

    def close(self, now: float) -> None:
        """Abandon every client: the socket is closed."""
        self._dispatcher.now = now
        self.note_unsent(0)
        for address in [*self.clients.native, *self.clients.foreign]:
            self._lose(address)

    def message_bytes(self, address: bytes) -> int:
        """Return the maximum size of a message to the native client at ``address``."""
        peer = self.clients.native.get(address)
        return (self._takes if peer is None else peer.takes).message_bytes

    # -- all clients -------------------------------------------------------------------

    def say_draining(self) -> None:
        """Notify every native client that it should send its next calls elsewhere."""
        for address in self.clients.native:
            self.outbox.say(address, Goaway("draining"))

    def give_up_all(self) -> None:
        """End every call of the clients at this socket with a 502 or 503."""
        for peer in self.clients.all():
            self._dispatcher.give_up_all_of(peer)

    def say_goodbye(self, now: float) -> None:
        """End all calls; send native clients the id of their last call that was read."""
        self._dispatcher.now = now
        self.give_up_all()
        for peer in self.clients.native.values():
            self.outbox.say(peer.address, Goaway("closing", peer.seen))

    @property
    def next_tick(self) -> float:
        """The latest time at which to call `tick`."""
        return min(self._pulse.next_beat, self._absence.next_tick)

    def tick(self, now: float) -> None:
        """Abandon clients that were absent for too long; send heartbeats to the others."""
        for peer in self._absence.due(now):
            self._lose(peer.address)
        if not self._pulse.beats(now):
            return
        for peer in self.clients.native.values():
            if not peer.spoken_to:
                self.outbox.say(peer.address, Heartbeat())
            peer.spoken_to = False
        if not self.clients.native:
            self._pulse.stop()
