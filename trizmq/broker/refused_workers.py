"""Workers that cannot have a session: each is told to go, and it is said why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..admission import Event
from ..messages import problem
from ..wire import mdp
from ..wire.items import Goaway, Response
from ..wire.mdp import MDP
from .workers import NATIVE

if TYPE_CHECKING:
    from ..wire.return_path import ReturnPath
    from .outbox import Counters, Outbox

__all__ = ["RefusedWorkers"]


NOT_FOR_CLIENTS: Final = "this port is for workers: clients connect to the endpoint of --bind"


#: Many workers come back the moment that they are sent away, as often as they are. So many a
#: second are sent away at once, and the rest at the end of that second.
AT_ONCE: Final = 10


#: Workers that wait to be sent away. More than that are not told.
MAX_WAITING: Final = 1024


#: The same reason is said once in so many seconds, and so many different ones at most.
QUIET: Final = 10.0


MAX_REASONS: Final = 100


@final
class RefusedWorkers:
    """Answers by DISCONNECT, at a bounded rate."""

    def __init__(self, counters: Counters, outbox: Outbox) -> None:
        self.next_tick = float("inf")
        self._counters = counters
        self._outbox = outbox
        self._left = AT_ONCE
        self._waiting: dict[bytes, tuple[str, bool]] = {}
        self._said: dict[str, float] = {}

    def refuse(
        self, address: bytes, dialect: str, reason: str, now: float, *, at_frontend: bool = False
    ) -> None:
        """Send away a worker that speaks ``dialect`` and has no session."""
        if self.next_tick == float("inf"):
            self.next_tick = now + 1.0
        self._say(dialect, reason, now)
        if self._left:
            self._left -= 1
            self._send_away(address, dialect, at_frontend)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting[address] = dialect, at_frontend

    def refuse_native(
        self, address: bytes, word: str, reason: str, now: float, *, at_frontend: bool = False
    ) -> None:
        """Send away a native peer, with a goaway of ``word``. It comes back once a second."""
        if self.next_tick == float("inf"):
            self.next_tick = now + 1.0
        self._say(NATIVE, reason, now)
        self._counters.disconnected += 1
        tell = self._outbox.say if at_frontend else self._outbox.assign
        tell(address, Goaway(word))

    def answer_client(self, address: bytes, return_path: ReturnPath) -> None:
        """Tell a client at the workers' port: it may be a REQ socket that waits for an answer."""
        outcome = problem(400, NOT_FOR_CLIENTS, executed="no")
        item = Response(0, outcome.status, outcome.headers, outcome.body)
        self._outbox.worker_messages.append((address, return_path.encode(item)))

    def tick(self, now: float) -> None:
        """Let time pass: send away those that wait for it."""
        if now < self.next_tick:
            return
        for address, (dialect, at_frontend) in self._waiting.items():
            self._send_away(address, dialect, at_frontend)
        self._waiting.clear()
        self._left = AT_ONCE
        self._said = {reason: at for reason, at in self._said.items() if now - at < QUIET}
        self.next_tick = now + 1.0 if self._said else float("inf")

    def _send_away(self, address: bytes, dialect: str, at_frontend: bool) -> None:
        self._counters.disconnected += 1
        frames = MDP[dialect].encode_worker(mdp.Disconnect())
        messages = self._outbox.messages if at_frontend else self._outbox.worker_messages
        messages.append((address, frames))

    def _say(self, dialect: str, reason: str, now: float) -> None:
        if now - self._said.get(reason, float("-inf")) < QUIET:
            return
        if reason in self._said or len(self._said) < MAX_REASONS:
            self._said[reason] = now
            self._outbox.events.append(Event("worker-refused", dialect, reason=reason))
