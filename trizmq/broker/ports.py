"""The ports of workers: in this process, and at a backend in the native dialect or MDP."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..wire import mdp
from ..wire.items import Call, Cancel, Credit, Goaway, Heartbeat, frames_of
from ..wire.mdp import MDP
from .workers import Worker

if TYPE_CHECKING:
    from ..limits import Limits
    from .calls import Flight
    from .outbox import Context, Outbox, SocketOutbox

__all__ = ["LocalPort", "MDPPort", "NativePort", "RemotePort"]


@final
class LocalPort(Worker):
    """The worker in the broker's own process, reached by function calls."""

    def __init__(
        self,
        outbox: Outbox,
        services: tuple[str, ...],
        capacity: int,
        *,
        public: frozenset[str] = frozenset(),
        routes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(services, capacity, "local", "local", public=public, routes=routes)
        self.checks_sizes = True
        self._outbox = outbox

    def assign(self, flight: Flight, now: float) -> None:
        self._outbox.started.append(flight)

    def cancel(self, flight: Flight) -> None:
        self._outbox.stopped.append(flight)

    def grant(self, flight: Flight, more: int) -> None:
        self._outbox.granted.append((flight, more))

    def beat(self) -> None:
        pass

    def dismiss(self, reason: str) -> None:
        pass


class RemotePort(Worker):
    """A worker with a session at a backend.

    Attributes:
      address: its routing id.
      spoken_to: whether a message was sent to it since the last heartbeat was due.
      beats_regardless: whether it gets heartbeats even then.

    """

    def __init__(
        self,
        context: Context,
        outbox: SocketOutbox,
        address: bytes,
        services: tuple[str, ...],
        capacity: int,
        name: str,
        dialect: str,
    ) -> None:
        super().__init__(services, capacity, name, dialect)
        self.address = address
        self.spoken_to = False
        self.beats_regardless = False
        self._context = context
        self._outbox = outbox

    def patience(self, limits: Limits) -> float:
        """Return the seconds for which it may be silent now."""
        return limits.heartbeat * limits.liveness


@final
class NativePort(RemotePort):
    """A worker that has sent a hello: many services, many calls at once.

    ``read``: the bytes of its large messages that were read and for which no credit was sent yet.
    """

    read: int = 0

    def assign(self, flight: Flight, now: float) -> None:
        flight.token = token = next(self._context.tokens)
        self.flights[token] = flight
        self.spoken_to = True
        item = Call(
            token,
            max(0, int((flight.deadline - now) * 1000)),
            flight.method,
            flight.target,
            flight.headers,
            flight.body,
            flight.principal,
            flight.request_id,
            int(now * 1000),
            flight.window,
        )
        self._outbox.say(self.address, item)

    def cancel(self, flight: Flight) -> None:
        assert isinstance(flight.token, int)
        self._outbox.say(self.address, Cancel(flight.token))

    def grant(self, flight: Flight, more: int) -> None:
        assert isinstance(flight.token, int)
        self._outbox.say(self.address, Credit(flight.token, more))

    def beat(self) -> None:
        self._outbox.say(self.address, Heartbeat())

    def dismiss(self, reason: str) -> None:
        self._outbox.say(self.address, Goaway(reason))


@final
class MDPPort(RemotePort):
    """A worker that has sent READY: one service, one call at a time.

    Attributes:
      beats_while_busy: whether it has sent heartbeats while it had a call.
      beats: the number of heartbeats since it got its current call.
      may_stray: whether it has just sent a FINAL: one stray PARTIAL after it is ignored.

    """

    def __init__(
        self,
        context: Context,
        outbox: SocketOutbox,
        address: bytes,
        service: str,
        name: str,
        dialect: str,
    ) -> None:
        super().__init__(context, outbox, address, (service,), 1, name, dialect)
        # Some MDP workers count only HEARTBEAT commands as signs of life (nodejs-mdp02, C
        # majordomo). So the broker always sends these, although both RFCs say SHOULD NOT.
        self.beats_regardless = True
        self.beats_while_busy = False
        self.beats = 0
        self.may_stray = False
        self._codec = MDP[dialect]

    def patience(self, limits: Limits) -> float:
        # Old MDP workers are silent while they work. Only those that have sent heartbeats while
        # busy must continue to; the others may be silent for longer. (The end of a connection is
        # noticed immediately.)
        if self.busy and not self.beats_while_busy:
            return limits.busy_silence
        return max(limits.heartbeat * limits.liveness, limits.mdp_silence)

    def note_beat(self) -> None:
        """Record a heartbeat of the worker."""
        if self.busy:
            # The first may have crossed the REQUEST; only the second was sent while busy.
            self.beats += 1
            self.beats_while_busy |= self.beats > 1

    def assign(self, flight: Flight, now: float) -> None:
        # The token is not the address of a client: workers never learn a routing id.
        flight.token = token = f"{self._context.instance}{next(self._context.tokens):08x}".encode()
        self.flights[token] = flight
        self._say(mdp.Request(token, tuple(frames_of(flight.body))))

    def cancel(self, flight: Flight) -> None:
        pass  # MDP has no command for it

    def grant(self, flight: Flight, more: int) -> None:
        pass  # nor for this: the client ends a stream that exceeds its window

    def beat(self) -> None:
        self._say(mdp.Heartbeat())

    def dismiss(self, reason: str) -> None:
        self._say(mdp.Disconnect())

    def _say(self, command: mdp.Command) -> None:
        self._outbox.messages.append((self.address, self._codec.encode_worker(command)))
