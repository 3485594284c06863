"""Workers that cannot have a session: each is sent away, and the log says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..admission import Event
from ..messages import problem
from ..wire import mdp
from ..wire.items import Goaway, Response
from ..wire.mdp import MDP

if TYPE_CHECKING:
    from ..wire.return_path import ReturnPath
    from .outbox import Context, SocketOutbox

__all__ = ["RefusedWorkers"]

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
