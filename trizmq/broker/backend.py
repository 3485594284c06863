"""A backend: one socket for native workers and workers of MDP (RFC 7, RFC 18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..bounds import narrower
from ..name_rules import is_mmi, is_service, label
from ..wire import mdp
from ..wire.items import (
    VERSION,
    Credit,
    Goaway,
    Head,
    Heartbeat,
    Hello,
    Part,
    Response,
    body_of,
)
from ..wire.mdp import MDP
from .ports import MDPPort, NativePort
from .sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..messages import Response as Outcome
    from ..wire.items import Body, Item
    from .calls import Flight
    from .dispatcher import Dispatcher
    from .guard import Guard
    from .outbox import Context
    from .ports import RemotePort
    from .sessions import RefusedWorkers
    from .workers import Token

__all__ = ["Backend"]

#: The maximum number of characters of a worker's name; the rest is cut off.
MAX_NAME: Final = 64

#: Reasons for the end of a session, for the log.
CHANGED: Final = "it changed its dialect"
GOODBYE: Final = "it said goodbye"


@final
class Backend(Sessions):
    """Handles the messages of the workers at one socket. The driver calls its methods.

    ================  ====================================  ============================
    a worker sends    without a session                     with a session
    ================  ====================================  ============================
    READY, hello      the session begins                    READY: unexpected
    HEARTBEAT         unexpected                            it is alive
    PARTIAL, FINAL    unexpected                            for one of its calls: passed
                                                            on; else dropped, and
                                                            unexpected if it has no call
    REQUEST           unexpected                            unexpected
    a malformed       DISCONNECT                            DISCONNECT; the session ends;
    message                                                 an MDP worker's call gets 502
    DISCONNECT,       nothing                               the session ends; its calls
    goaway                                                  go to other workers
    silence           -                                     as after DISCONNECT
    ================  ====================================  ============================

    *Unexpected*: valid, but not in this state. The broker sends DISCONNECT and ends the
    session, if there is one (RFC 18: "MUST respond by sending DISCONNECT and then no further
    commands"). In the native dialect, it sends goaway ``unknown``: send a new hello.
    """

    def __init__(
        self,
        context: Context,
        dispatcher: Dispatcher,
        respond: Callable[[Flight, Outcome], None],
        guard: Guard,
        refused: RefusedWorkers,
    ) -> None:
        super().__init__(context, dispatcher, respond)
        self._guard = guard
        self._refused = refused
        self._hello = Hello(
            VERSION, context.instance, takes=self._takes, window=self._limits.worker_bytes // 4
        )

    # -- native ------------------------------------------------------------------------

    def receive(self, address: bytes, items: Sequence[Item], now: float, size: int = 0) -> None:
        """Handle a message of a native worker; ``size``: its bytes, if it has several frames."""
        self._dispatcher.now = now
        worker = self.workers.get(address)
        if worker is None:
            worker = self._greet(address, items[0], now)
            if worker is None:
                return
        elif not isinstance(worker, NativePort):
            self.dismiss(worker, CHANGED)
            return
        self.note_heard(worker, now)
        self._read(worker, address, items)
        if size:
            worker.read += size
            if worker.read >= self._hello.window // 4:
                self.outbox.say(address, Credit(0, worker.read))
                worker.read = 0

    def _read(self, worker: RemotePort, address: bytes, items: Sequence[Item]) -> None:
        for item in items:
            try:
                match item:
                    case Response(id=token):
                        self._end(worker, token, item)
                    case Part(id=token, body=body):
                        self._part(worker, token, body)
                    case Head(id=token):
                        self._head(worker, token, item)
                    case Goaway("draining"):
                        self._dispatcher.retire(worker)
                        self.outbox.say(address, item)  # no call follows it
                    case Goaway():
                        self._lose(address, GOODBYE, is_goodbye=True)
                        return
                    case Heartbeat() | Hello() | Credit():
                        pass  # it may repeat its hello until it gets ours
                    case _:
                        self._counters.unexpected += 1
            except Exception as error:
                self._survive(worker, item, error)

    def _survive(self, worker: RemotePort, item: Item, error: Exception) -> None:
        """End the call that ``item`` belongs to, after ``error``."""
        token = item.id if isinstance(item, Response | Part | Head) else 0
        flight = worker.flights.get(token)
        if flight is None:
            self._guard.note(error)
            return
        self._guard.end_flight(flight, error)
        if isinstance(item, Response):
            self._dispatcher.release(flight)

    def _greet(self, address: bytes, first: Item, now: float) -> NativePort | None:
        word = self._why_not(first)
        if not isinstance(first, Hello):
            self.outbox.say(address, Goaway("unknown"))
            return None
        if word is not None:
            self._refused.refuse_native(self.outbox, address, word, _why(word, first), now)
            return None
        name = self._name(first.instance)
        capacity = max(1, first.credit)
        worker = NativePort(
            self._context, self.outbox, address, first.services, capacity, name, "native"
        )
        worker.public, worker.routes = frozenset(first.public), first.routes
        worker.takes = narrower(first.takes, self._takes)
        self.outbox.say(address, self._hello)
        self.welcome(worker, now)
        return worker

    def _name(self, instance: str) -> str:
        """Return the name of a worker; only a child process gets the name of a child."""
        name = self._context.children.get(instance, "")
        if name:
            return name
        name = label(instance, MAX_NAME)
        return f"{name} (no child)" if name in self._context.children.values() else name

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

    def _end(self, worker: RemotePort, token: int, item: Response) -> None:
        flight = worker.flights.get(token)
        if flight is None:
            self._counters.forged += 1
        else:
            self.finish(flight, item)

    def _head(self, worker: RemotePort, token: int, item: Head) -> None:
        flight = worker.flights.get(token)
        if flight is None:
            self._counters.forged += 1
        else:
            self.begin(flight, item)

    def _part(self, worker: RemotePort, token: int, body: Body) -> None:
        flight = worker.flights.get(token)
        if flight is None:
            self._counters.forged += 1
        else:
            self._dispatcher.part(flight, body)

    # -- MDP ---------------------------------------------------------------------------

    def receive_command(
        self, address: bytes, dialect: str, command: mdp.Command, now: float
    ) -> None:
        """Handle a command of an MDP worker."""
        self._dispatcher.now = now
        try:
            self._read_command(address, dialect, command, now)
        except Exception as error:
            self._guard.note(error)
            self._send_away(address, dialect, "the broker failed to handle its message")

    def _read_command(self, address: bytes, dialect: str, command: mdp.Command, now: float) -> None:
        worker = self.workers.get(address)
        if worker is not None and worker.dialect != dialect:
            self.dismiss(worker, CHANGED)
            return
        if worker is not None:
            self.note_heard(worker, now)
        port = worker if isinstance(worker, MDPPort) else None
        match command:
            case mdp.Ready(service) if port is None:
                self._welcome_mdp(address, dialect, service, now)
            case mdp.Disconnect():
                self._lose(address, GOODBYE, is_goodbye=True)
            case mdp.Heartbeat() if port is not None:
                port.note_beat()
            case mdp.Partial(token, body) if port is not None:
                self._pass_on(port, token, list(body), is_last=False)
            case mdp.Final(token, body) if port is not None:
                self._pass_on(port, token, list(body), is_last=True)
            case _:
                self._send_away(address, dialect, f"unexpected {type(command).__name__}")

    def refuse_unreadable(
        self, address: bytes, dialect: str | None, reason: str, now: float
    ) -> None:
        """Refuse a malformed message; ``dialect``: None if it is not known.

        A worker with a session is disconnected, and an MDP worker's call ends with a 502: its
        reply may have been in that message. The worker may come back. A worker without a session
        is disconnected if its dialect is known, so that it does not wait for calls in vain.
        """
        self._counters.malformed += 1
        self._dispatcher.now = now
        worker = self.workers.get(address)
        if worker is not None:
            if isinstance(worker, MDPPort):
                for flight in list(worker.flights.values()):
                    if not flight.ended:
                        self._fail(flight, f"the worker's reply cannot be read: {reason}")
            self.dismiss(worker, reason)
        elif dialect is not None:
            self._refused.refuse(self.outbox, address, dialect, reason, now)

    def _send_away(self, address: bytes, dialect: str, reason: str) -> None:
        """Disconnect an MDP worker, with or without a session."""
        worker = self.workers.get(address)
        if worker is not None:
            self.dismiss(worker, reason)
            return
        self._counters.disconnected += 1
        frames = MDP[dialect].encode_worker(mdp.Disconnect())
        self.outbox.messages.append((address, frames))

    def _welcome_mdp(self, address: bytes, dialect: str, service: str, now: float) -> None:
        if is_mmi(service):
            reason = f"only the broker offers {service!r}"
        elif not self.has_room_for([service]):
            reason = f"cannot accept {service!r}: there are too many workers or services"
        else:
            name = f"{dialect}-{next(self._context.mdp_numbers)}"
            port = MDPPort(self._context, self.outbox, address, service, name, dialect)
            self.welcome(port, now)
            return
        self._refused.refuse(self.outbox, address, dialect, reason, now)

    def _pass_on(self, worker: MDPPort, token: Token, body: list[bytes], *, is_last: bool) -> None:
        flight = worker.flights.get(token)
        if flight is None:
            # nodejs-mdp02 repeats the end of a reply as a PARTIAL that belongs to no call.
            self._counters.forged += 1
            is_forgiven = worker.may_stray and not is_last
            worker.may_stray = False
            if not worker.flights and not is_forgiven:
                self.dismiss(worker, "it replied without a call")
        elif is_last:
            worker.beats, worker.may_stray = 0, True
            self.finish(flight, Response(0, 200, {}, body_of(body)))
        else:
            self._dispatcher.part(flight, body_of(body))


def _may_be_offered(service: str) -> bool:
    return is_service(service) and not is_mmi(service)


def _why(word: str, hello: Hello) -> str:
    """Return the reason, for the log, to refuse the peer of ``hello`` with goaway ``word``."""
    if word == "backend":
        return "a client is at the workers' port: clients connect to the endpoint of --bind"
    name = label(hello.instance, MAX_NAME)
    if word == "version":
        return f"{name} speaks version {hello.version} of the native dialect, not {VERSION}"
    if word == "services":
        wrong = next(one for one in hello.services if not _may_be_offered(one))
        return f"{name} offers {label(wrong, MAX_NAME)!r}, which is not a valid service name"
    offered = len(hello.services)
    return f"{name}, with {offered} services, exceeds a limit: [limits] services or workers"
