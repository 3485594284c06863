"""A frontend: one socket for clients, native ones and those of other dialects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import msgspec

from ..bounds import narrower
from ..deadlines import NEVER
from ..hook_values import Event
from ..messages import problem
from ..pulse import Pulse
from ..wire.items import VERSION, Call, Cancel, Goaway, Heartbeat, Hello, Response
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

#: A native client may have a quarter of its bytes on the way to us, and gets word when we have read
#: a quarter of that.
WINDOWS: Final = 4

#: A name of this module, which compiled code finds at once; others it looks up for each item.
_CALL: Final = Call


@final
class Frontend:
    """The clients at one socket: their greetings, calls and cancellations, and their end.

    The driver reads the socket and calls the methods; what it should send is in ``outbox``.
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

    # -- what clients send -------------------------------------------------------------

    def receive(self, address: bytes, items: Sequence[Item], now: float, size: int) -> None:
        """Take in one message of a native client: ``size`` bytes, decoded to ``items``."""
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
                if flight is not None:  # else it has just been answered
                    self._dispatcher.give_up(flight)
            case Hello():
                self.outbox.say(peer.address, self._hello)  # the first may not have reached it
            case Heartbeat():
                pass
            case _:
                self._counters.unexpected += 1

    def _note_read(self, peer: NativePeer, size: int) -> None:
        """Count what was read of a native client's large messages; tell it now and then."""
        peer.read += size
        if peer.read >= self._read_bytes:
            peer.read = 0
            peer.spoken_to = True
            self.outbox.say(peer.address, Heartbeat(peer.seen))

    def receive_foreign(
        self, address: bytes, call: Call, return_path: ReturnPath, now: float
    ) -> None:
        """Take in one call of another dialect, to be answered by ``return_path``."""
        call.id = next(self._context.foreign_ids)
        peer = self.clients.foreign_peer(address, return_path)
        try:
            self._acceptance.take(peer, call, return_path, now, thorough=True)
        except Exception as error:
            self._guard.end_item(peer, call, return_path, error)

    def refuse_malformed(
        self, address: bytes, return_path: ReturnPath, status: int, detail: str
    ) -> None:
        """Answer a message that is no proper call, though it says how to answer it."""
        self._counters.malformed += 1
        outcome = problem(status, detail, executed="no")
        item = Response(0, outcome.status, outcome.headers, outcome.body)
        self.outbox.messages.append((address, return_path.encode(item)))

    # -- greetings ---------------------------------------------------------------------

    def _greet(self, address: bytes, items: Sequence[Item], now: float) -> NativePeer | None:
        """Answer the first message on a new connection; return the client, if it can stay."""
        hello = items[0]
        if not isinstance(hello, Hello):
            # We have given it up, or it speaks to the broker that was here before us: it learns
            # that we do not know it, and which of its calls were not looked at.
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
            # The connection before may not be known to have ended: what still comes on it is
            # a stranger's from now on.
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
        """Return which calls were looked at of a client that is not known any more."""
        seen = self._absence.recall(hello.key)
        if seen is None and hello.resumes == self._hello.instance:
            seen = max(hello.in_flight, default=0)  # any of them may have been
        return seen or 0

    def _resume(self, peer: NativePeer, hello: Hello) -> None:
        """Say hello, name the calls that were lost, and send what the client has missed."""
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
                    self._dispatcher.give_up(flight)  # while it was away its caller has gone

    @property
    def bytes_elsewhere(self) -> int:
        """How many bytes calls in hand, and the clients of other frontends, hold already."""
        calls = self._dispatcher.calls
        return calls.held_bytes + calls.unsent_bytes - self._unsent_bytes

    def note_unsent(self, size: int) -> None:
        """Note how many bytes wait for clients that have not read them: they are held, too."""
        self._dispatcher.calls.unsent_bytes += size - self._unsent_bytes
        self._unsent_bytes = size

    # -- clients that have gone, or do not read ------------------------------------------

    def lose(self, address: bytes, now: float) -> None:
        """Give up the calls of each client at ``address``: it is not connected any more."""
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

        A native client may come back: its calls go on for a while. Others are lost at once.
        """
        self._dispatcher.now = now
        peer = self.clients.native.get(address)
        if peer is None or not peer.key:
            self._lose(address)
        else:
            self._absence.begin(peer, now)
            self._absence.keep(peer, items)

    def give_up_slow(self, address: bytes, now: float, unsent: Sequence[Response] = ()) -> None:
        """End the calls of a client that does not read: what was sent to it was dropped.

        Its calls in flight end with a 502, and so do those whose responses are ``unsent``. (A
        refusal among these is sent again: it is small.)
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
        """Give up every client: the socket is closed."""
        self._dispatcher.now = now
        self.note_unsent(0)
        for address in [*self.clients.native, *self.clients.foreign]:
            self._lose(address)

    def message_bytes(self, address: bytes) -> int:
        """Return how large a message to the native client at ``address`` may be."""
        peer = self.clients.native.get(address)
        return (self._takes if peer is None else peer.takes).message_bytes

    # -- to all ------------------------------------------------------------------------

    def say_draining(self) -> None:
        """Tell every native client to send its next calls elsewhere."""
        for address in self.clients.native:
            self.outbox.say(address, Goaway("draining"))

    def give_up_all(self) -> None:
        """Stop and answer every call of the clients here."""
        for peer in self.clients.all():
            self._dispatcher.give_up_all_of(peer)

    def say_goodbye(self, now: float) -> None:
        """Answer what is in flight; name to native clients the calls that were not looked at."""
        self._dispatcher.now = now
        self.give_up_all()
        for peer in self.clients.native.values():
            self.outbox.say(peer.address, Goaway("closing", peer.seen))

    @property
    def next_tick(self) -> float:
        """When to call `tick`, at the latest."""
        return min(self._pulse.next_beat, self._absence.next_tick)

    def tick(self, now: float) -> None:
        """Let time pass: give up clients that stay away, send heartbeats to the others."""
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
