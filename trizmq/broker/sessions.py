"""The sessions of the workers at one socket, and the ends of their calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..deadlines import NEVER
from ..errors import LocalProtocolError
from ..hook_values import Event
from ..messages import Headers, no_headers, problem
from ..messages import Response as Outcome
from ..name_rules import are_fields_normal, check_fields
from ..pulse import Pulse, is_silent
from ..wire import mdp
from ..wire.items import Call, Goaway, Response, frames_of
from ..wire.mdp import MDP
from . import statuses
from .outbox import SocketOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..wire.items import Head, Item
    from ..wire.return_path import ReturnPath
    from .calls import Flight
    from .dispatcher import Dispatcher
    from .outbox import Context
    from .ports import RemotePort
    from .workers import Token

__all__ = ["RefusedWorkers", "Sessions"]


class Sessions:
    """A session for each worker at one socket; `Backend` handles the workers' messages.

    ``respond`` ends a call with its worker's response, or as a hook decides.
    """

    def __init__(
        self,
        context: Context,
        dispatcher: Dispatcher,
        respond: Callable[[Flight, Outcome], None],
    ) -> None:
        self.outbox = SocketOutbox()
        self.workers: dict[bytes, RemotePort] = {}
        self._context = context
        self._limits = context.limits
        self._pulse = Pulse(NEVER, context.limits.heartbeat)
        self._counters = context.counters
        self._dispatcher = dispatcher
        self._respond = respond
        self._takes = context.limits.takes

    def message_bytes(self, address: bytes) -> int:
        """Return the maximum size of a message to the native worker at ``address``."""
        worker = self.workers.get(address)
        takes = worker.takes if worker is not None else None
        return (takes or self._takes).message_bytes

    def take_back(self, address: bytes, item: Item) -> None:
        """Take back ``item`` if it is a call: it is too large for the worker at ``address``."""
        worker = self.workers.get(address)
        flight = worker.flights.get(item.id) if worker and isinstance(item, Call) else None
        if flight is not None:
            if not flight.ended:
                self._counters.lost += 1
                detail = "the call is too large for its worker"
                outcome = statuses.refusal(flight, 500, detail, executed="no")
                self._dispatcher.replies.answer(flight, outcome)
            self._dispatcher.release(flight)

    def finish(self, flight: Flight, item: Response) -> None:
        """End a call with the response of its worker."""
        if flight.ended:
            self._counters.late += not item.stopped
        elif item.stopped:
            # By the worker's clock the deadline has passed; by ours, it is about to.
            self._counters.expired += 1
            self._dispatcher.replies.answer(flight, statuses.expiry(flight))
        else:
            self._end_with(flight, item)
        self._dispatcher.release(flight, was_stopped=item.stopped)

    def begin(self, flight: Flight, item: Head) -> None:
        """Begin a streamed response with the head that the worker has sent."""
        if not flight.ended and flight.window and not flight.has_begun:
            try:
                fields = _checked(item.status, item.headers)
            except LocalProtocolError as error:
                self._counters.lost += 1
                detail = f"the worker answered with {error}"
                outcome = statuses.refusal(flight, 502, detail, executed="maybe")
                self._dispatcher.stop(flight, outcome)
            else:
                self._dispatcher.begin(flight, Outcome(item.status, fields))

    def _end_with(self, flight: Flight, item: Response) -> None:
        status = item.status
        try:
            fields = _checked(status, item.headers)
        except LocalProtocolError as error:
            self._fail(flight, f"the worker's response is invalid: {error}")
        else:
            frames = frames_of(item.body)
            if status >= 400:
                flight.gathered.clear()  # the parts before the failure
            flight.gathered += frames[:-1]  # to keep their boundaries
            self._respond(flight, Outcome(status, fields, frames[-1]))

    def _fail(self, flight: Flight, detail: str) -> None:
        """End a call with a 502, because its worker's response is invalid."""
        self._counters.lost += 1
        outcome = statuses.refusal(flight, 502, detail, executed="maybe")
        self._dispatcher.replies.answer(flight, outcome)

    def has_room_for(self, services: Collection[str]) -> bool:
        """Return whether another worker, with ``services``, would be within the limits."""
        roster = self._dispatcher.roster
        return roster.workers < self._limits.workers and roster.has_room_for(services)

    def note_heard(self, worker: RemotePort, now: float) -> None:
        """Record that ``worker`` has sent a message."""
        worker.heard_at = now
        if worker.is_quiet:
            self._dispatcher.note_heard(worker)

    def welcome(self, worker: RemotePort, now: float) -> None:
        """Begin a session."""
        self._pulse.start(now)
        worker.heard_at = now
        self.workers[worker.address] = worker
        self._note("worker-ready", worker, worker.dialect)
        self._dispatcher.join(worker)

    def dismiss(self, worker: RemotePort, reason: str) -> None:
        """Disconnect a worker because of an unexpected or malformed message."""
        self._counters.disconnected += 1
        self._lose(worker.address, reason)
        worker.dismiss("unknown")

    def lose(
        self,
        address: bytes,
        now: float,
        reason: str = "it is not connected",
        undelivered: Collection[Token] = (),
    ) -> None:
        """End the session at ``address``, if there is one; its calls go to other workers.

        Args:
          reason: the reason, for the log.
          undelivered: tokens of calls that were certainly never sent to it.

        """
        self._dispatcher.now = now
        self._lose(address, reason, undelivered)

    def _lose(
        self,
        address: bytes,
        reason: str,
        undelivered: Collection[Token] = (),
        *,
        is_goodbye: bool = False,
    ) -> None:
        """As `lose`; ``is_goodbye``: whether its end is orderly, not caused by its calls."""
        worker = self.workers.pop(address, None)
        if worker is None:
            return
        left = worker.is_leaving or is_goodbye
        held: list[Flight] = [
            one for one in worker.flights.values() if one.token not in undelivered
        ]
        self._note(
            "worker-left" if left else "worker-lost", worker, reason + statuses.in_words(held)
        )
        self._dispatcher.lose(worker, is_death=not is_goodbye, undelivered=undelivered)

    def lose_named(self, name: str, reason: str) -> None:
        """End the sessions of the worker ``name``, whose process has ended."""
        for address, worker in list(self.workers.items()):
            if worker.name == name:
                self._lose(address, reason)

    def say_goodbye(self, now: float) -> None:
        """Dismiss every worker once, because the socket is about to be closed."""
        self._dispatcher.now = now
        for worker in self.workers.values():
            if not worker.is_leaving:
                self._dispatcher.retire(worker)
                worker.dismiss("closing")

    def close(self, now: float) -> None:
        """End every session: the socket is closed."""
        self._dispatcher.now = now
        for address in list(self.workers):
            self._lose(address, "its port was closed", is_goodbye=True)

    def tick(self, now: float) -> None:
        """Send heartbeats, and end the sessions of workers that were silent for too long."""
        if not self._pulse.beats(now):
            return
        for address, worker in list(self.workers.items()):
            was_quiet = self._pulse.renew(worker)
            if is_silent(worker, now, worker.patience(self._limits)):
                self._lose(address, f"silent for {now - worker.heard_at:.1f} s")
            elif was_quiet or worker.beats_regardless:
                worker.beat()
        if not self.workers:
            self._pulse.stop()

    @property
    def next_tick(self) -> float:
        """The latest time at which to call `tick`."""
        return self._pulse.next_beat

    def _note(self, kind: str, worker: RemotePort, reason: str) -> None:
        self._context.outbox.events.append(Event(kind, worker.name, worker.services, reason))


def _checked(status: int, headers: dict[str, str]) -> Headers:
    if not 100 <= status <= 599:
        raise LocalProtocolError(f"status {status}")
    if not headers:
        return no_headers()
    return Headers(headers if are_fields_normal(headers) else check_fields(headers.items()))


NOT_FOR_CLIENTS: Final = "this port is for workers: clients connect to the endpoint of --bind"

#: The number of refused workers per second that get a DISCONNECT at once; the others get it at the
#: end of that second. Many workers reconnect immediately each time that they get one.
AT_ONCE: Final = 10

#: The maximum number of workers that wait for a DISCONNECT. Any others get none.
MAX_WAITING: Final = 1024

#: Seconds between two log lines with the same reason; and the number of different reasons.
QUIET: Final = 10.0

MAX_REASONS: Final = 100


@final
class RefusedWorkers:
    """Refuses workers with DISCONNECT, at a limited rate for all sockets together."""

    def __init__(self, context: Context) -> None:
        self.next_tick = float("inf")
        self._context = context
        self._left = AT_ONCE
        self._waiting: dict[tuple[SocketOutbox, bytes], str] = {}
        self._said: dict[str, float] = {}

    def refuse(
        self, outbox: SocketOutbox, address: bytes, dialect: str, reason: str, now: float
    ) -> None:
        """Refuse a worker that speaks the MDP dialect ``dialect`` and has no session."""
        self._say(dialect, reason, now)
        if self._left:
            self._left -= 1
            self._send_away(outbox, address, dialect)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting[outbox, address] = dialect

    def refuse_native(
        self, outbox: SocketOutbox, address: bytes, word: str, reason: str, now: float
    ) -> None:
        """Refuse a native peer with a goaway of ``word``. It reconnects once a second."""
        self._say("native", reason, now)
        self._context.counters.disconnected += 1
        outbox.say(address, Goaway(word))

    def answer_client(self, outbox: SocketOutbox, address: bytes, return_path: ReturnPath) -> None:
        """Respond to a client at the workers' port: it may be a REQ socket that waits."""
        outcome = problem(400, NOT_FOR_CLIENTS, executed="no")
        item = Response(0, outcome.status, outcome.headers, outcome.body)
        outbox.messages.append((address, return_path.encode(item)))

    def tick(self, now: float) -> None:
        """Once a second, send a DISCONNECT to the workers that wait for one."""
        if now < self.next_tick:
            return
        for (outbox, address), dialect in self._waiting.items():
            self._send_away(outbox, address, dialect)
        self._waiting.clear()
        self._left = AT_ONCE
        self._said = {reason: at for reason, at in self._said.items() if now - at < QUIET}
        self.next_tick = now + 1.0 if self._said else float("inf")

    def _send_away(self, outbox: SocketOutbox, address: bytes, dialect: str) -> None:
        self._context.counters.disconnected += 1
        outbox.messages.append((address, MDP[dialect].encode_worker(mdp.Disconnect())))

    def _say(self, dialect: str, reason: str, now: float) -> None:
        """Log the reason of a refusal, and start the second that limits both rates."""
        if self.next_tick == float("inf"):
            self.next_tick = now + 1.0
        if now - self._said.get(reason, float("-inf")) < QUIET:
            return
        if reason in self._said or len(self._said) < MAX_REASONS:
            self._said[reason] = now
            self._context.outbox.events.append(Event("worker-refused", dialect, reason=reason))
