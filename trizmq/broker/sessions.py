"""The sessions of the workers at one socket: their begin, their end, and the calls they end."""

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

    from ..wire.items import Item
    from ..wire.return_path import ReturnPath
    from .calls import Flight
    from .dispatcher import Dispatcher
    from .outbox import Context
    from .ports import RemotePort
    from .workers import Token

__all__ = ["RefusedWorkers", "Sessions"]


class Sessions:
    """One session for each worker at one socket; `Backend` reads what the workers send.

    ``respond`` ends a call with its worker's response, unless a hook has another idea.
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
        """Return how large a message to the native worker at ``address`` may be."""
        worker = self.workers.get(address)
        takes = worker.takes if worker is not None else None
        return (takes or self._takes).message_bytes

    def take_back(self, address: bytes, item: Item) -> None:
        """Take back ``item``, if it is a call: it could not be written for the worker there."""
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
        """End a call with what its worker says of it."""
        if flight.ended:
            self._counters.late += not item.stopped
        elif item.stopped:
            # By its own clock the deadline has passed: ours would say so in a moment.
            self._counters.expired += 1
            self._dispatcher.replies.answer(flight, statuses.expiry(flight))
        else:
            self._end_with(flight, item)
        self._dispatcher.release(flight, was_stopped=item.stopped)

    def _end_with(self, flight: Flight, item: Response) -> None:
        status = item.status
        try:
            fields = _checked(status, item.headers)
        except LocalProtocolError as error:
            self._fail(flight, f"the worker answered with {error}")
        else:
            frames = frames_of(item.body)
            if status >= 400:
                flight.gathered.clear()  # what was sent before it failed
            flight.gathered += frames[:-1]  # so that their boundaries are kept
            self._respond(flight, Outcome(status, fields, frames[-1]))

    def _fail(self, flight: Flight, detail: str) -> None:
        """End a call with a 502: its worker's answer is of no use."""
        self._counters.lost += 1
        outcome = statuses.refusal(flight, 502, detail, executed="maybe")
        self._dispatcher.replies.answer(flight, outcome)

    def has_room_for(self, services: Collection[str]) -> bool:
        """Tell whether one more worker, with ``services``, is within the limits."""
        roster = self._dispatcher.roster
        return roster.workers < self._limits.workers and roster.has_room_for(services)

    def note_heard(self, worker: RemotePort, now: float) -> None:
        """Take note that ``worker`` has sent something."""
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
        """Send a worker away: what it sent is out of place."""
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
        """End the session at ``address``, if there is one; its calls go to others.

        Args:
          reason: for the log.
          undelivered: tokens of calls that it was certainly never sent.

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
        """As `lose`; ``is_goodbye``: it ends in order, and not because of its calls."""
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
        """End the sessions of the worker that calls itself ``name``: its process has ended."""
        for address, worker in list(self.workers.items()):
            if worker.name == name:
                self._lose(address, reason)

    def say_goodbye(self, now: float) -> None:
        """Send every worker away, once: the socket is about to be closed."""
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
        """When to call `tick`, at the latest."""
        return self._pulse.next_beat

    def _note(self, kind: str, worker: RemotePort, reason: str) -> None:
        self._context.outbox.events.append(Event(kind, worker.name, worker.services, reason))


def _checked(status: int, headers: dict[str, str]) -> Headers:
    if not 100 <= status <= 599:
        raise LocalProtocolError(f"the status {status}")
    if not headers:
        return no_headers()
    return Headers(headers if are_fields_normal(headers) else check_fields(headers.items()))


NOT_FOR_CLIENTS: Final = "this port is for workers: clients connect to the endpoint of --bind"

#: Many workers come back the moment that they are sent away, as often as they are. So many a
#: second are sent away at once, and the rest at the end of that second.
AT_ONCE: Final = 10

#: Workers that wait to be sent away. More than that get no word.
MAX_WAITING: Final = 1024

#: The same reason is logged once in so many seconds, and so many different ones at most.
QUIET: Final = 10.0

MAX_REASONS: Final = 100


@final
class RefusedWorkers:
    """Answers by DISCONNECT, at a bounded rate for all sockets together."""

    def __init__(self, context: Context) -> None:
        self.next_tick = float("inf")
        self._context = context
        self._left = AT_ONCE
        self._waiting: dict[tuple[SocketOutbox, bytes], str] = {}
        self._said: dict[str, float] = {}

    def refuse(
        self, outbox: SocketOutbox, address: bytes, dialect: str, reason: str, now: float
    ) -> None:
        """Send away a worker that speaks ``dialect`` and has no session."""
        self._say(dialect, reason, now)
        if self._left:
            self._left -= 1
            self._send_away(outbox, address, dialect)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting[outbox, address] = dialect

    def refuse_native(
        self, outbox: SocketOutbox, address: bytes, word: str, reason: str, now: float
    ) -> None:
        """Send away a native peer, with a goaway of ``word``. It comes back once a second."""
        self._say("native", reason, now)
        self._context.counters.disconnected += 1
        outbox.say(address, Goaway(word))

    def answer_client(self, outbox: SocketOutbox, address: bytes, return_path: ReturnPath) -> None:
        """Answer a client at the workers' port: it may be a REQ socket that waits for that."""
        outcome = problem(400, NOT_FOR_CLIENTS, executed="no")
        item = Response(0, outcome.status, outcome.headers, outcome.body)
        outbox.messages.append((address, return_path.encode(item)))

    def tick(self, now: float) -> None:
        """Let time pass: send away those that wait for it."""
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
        """Let the log say why a worker is refused, and the time begin that bounds both."""
        if self.next_tick == float("inf"):
            self.next_tick = now + 1.0
        if now - self._said.get(reason, float("-inf")) < QUIET:
            return
        if reason in self._said or len(self._said) < MAX_REASONS:
            self._said[reason] = now
            self._context.outbox.events.append(Event("worker-refused", dialect, reason=reason))
