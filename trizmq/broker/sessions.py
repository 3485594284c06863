"""The backend: what workers say, in any dialect, and what that does (RFC 7, RFC 18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..admission import Event
from ..bounds import narrower
from ..names import is_service, label
from ..wire import mdp
from ..wire.items import VERSION, Call, Credit, Goaway, Heartbeat, Hello, Item, Part, Response
from ..wire.mdp import MDP
from . import refusals
from .mmi import is_mmi
from .pulse import beat, needs_beat, patience
from .replies import WorkerAnswers
from .workers import NATIVE, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from ..limits import Limits
    from ..messages import Response as Outcome
    from ..wire.items import Body
    from .calls import Flight, Token
    from .dispatcher import Dispatcher
    from .guard import Guard
    from .outbox import Counters, Outbox
    from .refused_workers import RefusedWorkers

__all__ = ["CHANGED", "GOODBYE", "Sessions"]


#: As much as is kept of what a worker calls itself.
MAX_NAME: Final = 64


#: Why a session ends, where two places say so.
CHANGED: Final = "it changed its dialect"


GOODBYE: Final = "it said goodbye"


@final
class Sessions:
    """One session for each worker on the backend; what MDP workers say goes to `MDPSessions`.

    ================  ====================================  ============================
    a worker says     when it is unknown                    when it has a session
    ================  ====================================  ============================
    READY, hello      the session begins                    READY: unexpected
    HEARTBEAT         unexpected                            (it lives)
    PARTIAL, FINAL    unexpected                            of its own call: passed on;
                                                            else dropped, and unexpected
                                                            if it has no call at all
    REQUEST           unexpected                            unexpected
    what cannot be    DISCONNECT                            DISCONNECT; the session ends,
    read                                                    an MDP worker's call is a 502
    DISCONNECT,       nothing                               the session ends; its calls
    goaway                                                  go to others
    silence           -                                     the session ends likewise
    ================  ====================================  ============================

    *Unexpected*: valid, but not now. It is answered by DISCONNECT, and the session, if
    there is one, ends (RFC 18: "MUST respond by sending DISCONNECT and then no further
    commands"). In the native dialect that is goaway ``unknown``: say hello anew.
    """

    def __init__(
        self,
        limits: Limits,
        counters: Counters,
        outbox: Outbox,
        dispatcher: Dispatcher,
        respond: Callable[[Flight, Outcome], None],
        guard: Guard,
        refused: RefusedWorkers,
        *,
        instance: str,
    ) -> None:
        self.workers: dict[bytes, Worker] = {}
        #: The names of workers that are children of this process, by what these call themselves.
        self.children: dict[str, str] = {}
        self.next_heartbeat = float("inf")
        self._limits = limits
        self._counters = counters
        self._outbox = outbox
        self._dispatcher = dispatcher
        self.answers = WorkerAnswers(counters, dispatcher, respond)
        self._guard = guard
        self._refused = refused
        self._takes = limits.takes
        self._hello = Hello(VERSION, instance, takes=self._takes, window=limits.worker_bytes // 4)

    # -- native ------------------------------------------------------------------------

    def receive(self, address: bytes, items: Sequence[Item], now: float, size: int) -> None:
        """Take in one message of a native worker; ``size``: its bytes, if it has several frames."""
        worker = self.workers.get(address)
        if worker is None:
            worker = self._greet(address, items[0], now)
            if worker is None:
                return
        elif worker.dialect != NATIVE:
            self.dismiss(address, worker.dialect, CHANGED)
            return
        self.note_heard(worker, now)
        self._read(worker, address, items)
        if size:
            worker.read += size
            if worker.read >= self._hello.window // 4:
                self._outbox.assign(address, Credit(0, worker.read))
                worker.read = 0

    def _read(self, worker: Worker, address: bytes, items: Sequence[Item]) -> None:
        for item in items:
            try:
                match item:
                    case Response(id=token):
                        self._end(worker, token, item)
                    case Part(id=token, body=body):
                        self._part(worker, token, body)
                    case Goaway("draining"):
                        self._dispatcher.retire(worker)
                        self._outbox.assign(address, item)  # nothing was sent after this
                    case Goaway():
                        self.lose(address, GOODBYE)
                        return
                    case Heartbeat() | Hello() | Credit():
                        pass  # it may say hello again until it hears ours
                    case _:
                        self._counters.unexpected += 1
            except Exception as error:
                self._fail(worker, item, error)

    def _fail(self, worker: Worker, item: Item, error: Exception) -> None:
        """End the call that ``item`` is about, after ``error``."""
        token = item.id if isinstance(item, Response | Part) else 0
        flight = worker.flights.get(token)
        if flight is None:
            self._guard.note(error)
            return
        self._guard.end_flight(flight, error)
        if isinstance(item, Response):
            self._dispatcher.release(flight)

    def _greet(self, address: bytes, first: Item, now: float) -> Worker | None:
        word = self._why_not(first)
        if not isinstance(first, Hello):
            self._outbox.assign(address, Goaway("unknown"))
            return None
        if word is not None:
            self._refused.refuse_native(address, word, _why(word, first), now)
            return None
        worker = Worker(
            first.services,
            max(1, first.credit),
            self._name(first.instance),
            NATIVE,
            address,
            frozenset(first.public),
            first.routes,
        )
        worker.takes = narrower(first.takes, self._takes)
        self._outbox.assign(address, self._hello)
        self.welcome(worker, now)
        return worker

    def _name(self, instance: str) -> str:
        """Return what to call a worker: only a child has a child's name."""
        name = self.children.get(instance, "")
        if name:
            return name
        name = label(instance, MAX_NAME)
        return f"{name} (no child)" if name in self.children.values() else name

    def _why_not(self, first: Item) -> str | None:
        if not isinstance(first, Hello):
            return "unknown"
        if first.version != VERSION:
            return "version"
        if not first.services:
            return "backend"
        if not all(map(_may_be_offered, first.services)):
            return "services"
        return None if self.has_room_for(first.services) else "full"

    def _end(self, worker: Worker, token: int, item: Response) -> None:
        flight = worker.flights.get(token)
        if flight is None:
            self._counters.forged += 1
        else:
            self.answers.finish(flight, item)

    def _part(self, worker: Worker, token: int, body: Body) -> None:
        flight = worker.flights.get(token)
        if flight is None:
            self._counters.forged += 1
        else:
            self._dispatcher.part(flight, body)

    def message_bytes(self, address: bytes) -> int:
        """Return how large a message to the native worker at ``address`` may be."""
        worker = self.workers.get(address)
        takes = self._takes if worker is None or worker.takes is None else worker.takes
        return takes.message_bytes

    def take_back(self, address: bytes, item: Item) -> None:
        """Be told that ``item``, if it is a call, could not be written for the worker there."""
        worker = self.workers.get(address)
        flight = worker.flights.get(item.id) if worker and isinstance(item, Call) else None
        if flight is not None:
            if not flight.ended:
                self._counters.lost += 1
                detail = "the call is too large for its worker"
                outcome = refusals.refusal(flight, 500, detail, executed="no")
                self._dispatcher.answer(flight, outcome)
            self._dispatcher.release(flight)

    # -- both --------------------------------------------------------------------------

    def has_room_for(self, services: Collection[str]) -> bool:
        """Tell whether one more worker, with ``services``, is within the limits."""
        roster = self._dispatcher.roster
        return len(self.workers) < self._limits.workers and roster.has_room_for(services)

    def note_heard(self, worker: Worker, now: float) -> None:
        """Be told that ``worker`` has said something."""
        worker.heard_at = now
        if worker.is_quiet:
            self._dispatcher.note_heard(worker)

    def welcome(self, worker: Worker, now: float) -> None:
        """Begin a session."""
        assert worker.address is not None
        if not self.workers:
            self.next_heartbeat = now + self._limits.heartbeat
        worker.heard_at = now
        self.workers[worker.address] = worker
        self._note("worker-ready", worker, worker.dialect)
        self._dispatcher.join(worker)

    def dismiss(self, address: bytes, dialect: str, reason: str) -> None:
        """Send away who is at ``address``: what it said is out of place."""
        self._counters.disconnected += 1
        self.lose(address, reason)
        self._send_away(address, dialect, "unknown")

    def lose(self, address: bytes, reason: str, undelivered: Collection[Token] = ()) -> None:
        """End the session at ``address``, if there is one; its calls go to others.

        ``undelivered``: tokens of calls that it was certainly never sent.
        """
        worker = self.workers.pop(address, None)
        if worker is None:
            return
        is_goodbye = reason == GOODBYE
        left = worker.is_leaving or is_goodbye
        held = [one for one in worker.flights.values() if one.token not in undelivered]
        self._note(
            "worker-left" if left else "worker-lost", worker, reason + refusals.in_words(held)
        )
        self._dispatcher.lose(worker, is_death=not is_goodbye, undelivered=undelivered)

    def lose_named(self, name: str, reason: str) -> None:
        """End the sessions of the worker that calls itself ``name``: its process has ended."""
        self.children = {key: known for key, known in self.children.items() if known != name}
        for address, worker in list(self.workers.items()):
            if worker.name == name:
                self.lose(address, reason)

    def dismiss_all(self) -> None:
        """Send every worker away, once: this broker is about to end."""
        for address, worker in self.workers.items():
            if not worker.is_leaving:
                self._dispatcher.retire(worker)
                self._send_away(address, worker.dialect, "closing")

    def _send_away(self, address: bytes, dialect: str, reason: str) -> None:
        if dialect == NATIVE:
            self._outbox.assign(address, Goaway(reason))
        else:
            frames = MDP[dialect].encode_worker(mdp.Disconnect())
            self._outbox.worker_messages.append((address, frames))

    def tick(self, now: float) -> None:
        """Send heartbeats, and end the sessions of who has been silent for too long."""
        if now < self.next_heartbeat:
            return
        for address, worker in list(self.workers.items()):
            # If we come late, nobody listened meanwhile: that is not the worker's silence.
            worker.heard_at += now - self.next_heartbeat
            if now - worker.heard_at > patience(worker, self._limits):
                self.lose(address, f"silent for {now - worker.heard_at:.1f} s")
            elif needs_beat(worker):
                beat(address, worker, self._outbox)
            worker.was_told = False
        interval = self._limits.heartbeat
        self.next_heartbeat = now + interval if self.workers else float("inf")

    def _note(self, kind: str, worker: Worker, reason: str) -> None:
        self._outbox.events.append(Event(kind, worker.name, worker.services, reason))


def _may_be_offered(service: str) -> bool:
    return is_service(service) and not is_mmi(service)


def _why(word: str, hello: Hello) -> str:
    """Say why the native peer that has said ``hello`` is sent away with ``word``."""
    if word == "backend":
        return "a client is at the workers' port: clients connect to the endpoint of --bind"
    name = label(hello.instance, MAX_NAME)
    if word == "version":
        return f"{name} has version {hello.version} of the native dialect, and not {VERSION}"
    if word == "services":
        wrong = next(one for one in hello.services if not _may_be_offered(one))
        return f"{name} offers {label(wrong, MAX_NAME)!r}, which is no name of a service"
    offered = len(hello.services)
    return f"{name} offers {offered} services, and there is no room: [limits] services and workers"
