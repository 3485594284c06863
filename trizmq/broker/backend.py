"""A backend: one socket for workers, native ones and those of MDP (RFC 7, RFC 18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..bounds import narrower
from ..name_rules import is_mmi, is_service, label
from ..wire import mdp
from ..wire.items import (
    VERSION,
    Credit,
    Goaway,
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

#: As much as is kept of what a worker calls itself.
MAX_NAME: Final = 64

#: Why a session ends, for the log, where two places say so.
CHANGED: Final = "it changed its dialect"
GOODBYE: Final = "it said goodbye"


@final
class Backend(Sessions):
    """Reads what the workers at one socket send. The driver calls its methods.

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
        """Take in one message of a native worker; ``size``: its bytes, if it has several frames."""
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
                    case Goaway("draining"):
                        self._dispatcher.retire(worker)
                        self.outbox.say(address, item)  # nothing was sent after this
                    case Goaway():
                        self._lose(address, GOODBYE, is_goodbye=True)
                        return
                    case Heartbeat() | Hello() | Credit():
                        pass  # it may say hello again until it hears ours
                    case _:
                        self._counters.unexpected += 1
            except Exception as error:
                self._survive(worker, item, error)

    def _survive(self, worker: RemotePort, item: Item, error: Exception) -> None:
        """End the call that ``item`` is about, after ``error``."""
        token = item.id if isinstance(item, Response | Part) else 0
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
        """Return what to call a worker: only a child has a child's name."""
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
        """Take in one command of an MDP worker."""
        self._dispatcher.now = now
        try:
            self._read_command(address, dialect, command, now)
        except Exception as error:
            self._guard.note(error)
            self._send_away(address, dialect, "the broker failed at what it sent")

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
                self._send_away(address, dialect, f"{type(command).__name__} was out of place")

    def refuse_unreadable(
        self, address: bytes, dialect: str | None, reason: str, now: float
    ) -> None:
        """Refuse what could not be read; ``dialect``, if that much could.

        A worker with a session is sent away, and the call that it had is a 502: its reply may
        have been in what could not be read. It may come back. A stranger is sent away in its
        dialect, so that it does not wait for work that never comes.
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
        """Send away an MDP worker, with a session or without one."""
        worker = self.workers.get(address)
        if worker is not None:
            self.dismiss(worker, reason)
            return
        self._counters.disconnected += 1
        frames = MDP[dialect].encode_worker(mdp.Disconnect())
        self.outbox.messages.append((address, frames))

    def _welcome_mdp(self, address: bytes, dialect: str, service: str, now: float) -> None:
        if is_mmi(service):
            reason = f"only the broker answers for {service!r}"
        elif not self.has_room_for([service]):
            reason = f"no room for {service!r}: there are too many workers or services"
        else:
            name = f"{dialect}-{next(self._context.mdp_numbers)}"
            port = MDPPort(self._context, self.outbox, address, service, name, dialect)
            self.welcome(port, now)
            return
        self._refused.refuse(self.outbox, address, dialect, reason, now)

    def _pass_on(self, worker: MDPPort, token: Token, body: list[bytes], *, is_last: bool) -> None:
        flight = worker.flights.get(token)
        if flight is None:
            # nodejs-mdp02 repeats what it ends a reply with, as a PARTIAL of no call.
            self._counters.forged += 1
            is_forgiven = worker.may_stray and not is_last
            worker.may_stray = False
            if not worker.flights and not is_forgiven:
                self.dismiss(worker, "it replied to nothing")
        elif is_last:
            worker.beats, worker.may_stray = 0, True
            self.finish(flight, Response(0, 200, {}, body_of(body)))
        else:
            self._dispatcher.part(flight, body_of(body))


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
