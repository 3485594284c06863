"""Sessions of workers that speak a dialect of MDP (RFC 7, RFC 18): one call at a time each."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, final

from ..wire import mdp
from ..wire.items import Response, body_of
from . import refusals
from .mmi import is_mmi
from .sessions import CHANGED, GOODBYE, Sessions
from .workers import NATIVE, Worker

if TYPE_CHECKING:
    from .calls import Token
    from .dispatcher import Dispatcher
    from .outbox import Counters
    from .refused_workers import RefusedWorkers

__all__ = ["MDPSessions"]


@final
class MDPSessions:
    """What an MDP worker says, and what that does; `Sessions` has the table."""

    def __init__(
        self,
        sessions: Sessions,
        refused: RefusedWorkers,
        counters: Counters,
        dispatcher: Dispatcher,
    ) -> None:
        self._sessions = sessions
        self._refused = refused
        self._counters = counters
        self._dispatcher = dispatcher
        self._numbers = count(1)

    def receive(self, address: bytes, dialect: str, command: mdp.Command, now: float) -> None:
        """Take in one command."""
        sessions = self._sessions
        worker = sessions.workers.get(address)
        if worker is not None and worker.dialect != dialect:
            sessions.dismiss(address, worker.dialect, CHANGED)
            return
        if worker is not None:
            sessions.note_heard(worker, now)
        match command:
            case mdp.Ready(service) if worker is None:
                self._welcome(address, dialect, service, now)
            case mdp.Disconnect():
                sessions.lose(address, GOODBYE)
            case mdp.Heartbeat() if worker is not None:
                self._note_beat(worker)
            case mdp.Partial(token, body) if worker is not None:
                self._pass_on(worker, token, list(body), is_last=False)
            case mdp.Final(token, body) if worker is not None:
                self._pass_on(worker, token, list(body), is_last=True)
            case _:
                sessions.dismiss(address, dialect, f"{type(command).__name__} was out of place")

    def refuse(self, address: bytes, dialect: str | None, reason: str, now: float) -> None:
        """Be told that what ``address`` sent could not be read; ``dialect``, if that much could.

        A worker with a session is sent away, and the call that it had is a 502: its reply may
        have been in what could not be read. It may come back. A stranger is sent away in its
        dialect, so that it does not wait for work that never comes.
        """
        self._counters.malformed += 1
        self._dispatcher.now = now
        worker = self._sessions.workers.get(address)
        if worker is not None:
            if worker.dialect != NATIVE:
                self._end_calls(worker, reason)
            self._sessions.dismiss(address, worker.dialect, reason)
        elif dialect is not None:
            self._refused.refuse(address, dialect, reason, now)

    def _end_calls(self, worker: Worker, reason: str) -> None:
        for flight in list(worker.flights.values()):
            if not flight.ended:
                self._counters.lost += 1
                detail = f"the worker's reply cannot be read: {reason}"
                outcome = refusals.refusal(flight, 502, detail, executed="maybe")
                self._dispatcher.answer(flight, outcome)

    def _welcome(self, address: bytes, dialect: str, service: str, now: float) -> None:
        if is_mmi(service):
            reason = f"only the broker answers for {service!r}"
        elif not self._sessions.has_room_for([service]):
            reason = f"no room for {service!r}: there are too many workers or services"
        else:
            name = f"{dialect}-{next(self._numbers)}"
            self._sessions.welcome(Worker((service,), 1, name, dialect, address), now)
            return
        self._refused.refuse(address, dialect, reason, now)

    def _note_beat(self, worker: Worker) -> None:
        if worker.busy:
            # The first may have crossed the REQUEST: only a second was sent while busy.
            worker.beats += 1
            worker.beats_while_busy |= worker.beats > 1

    def _pass_on(self, worker: Worker, token: Token, body: list[bytes], *, is_last: bool) -> None:
        flight = worker.flights.get(token)
        if flight is None:
            # nodejs-mdp02 repeats what it ends a reply with, as a PARTIAL for nobody.
            self._counters.forged += 1
            is_forgiven = worker.may_stray and not is_last
            worker.may_stray = False
            if not worker.flights and not is_forgiven and worker.address is not None:
                self._sessions.dismiss(worker.address, worker.dialect, "it replied to nothing")
        elif is_last:
            worker.beats, worker.may_stray = 0, True
            self._sessions.answers.finish(flight, Response(0, 200, {}, body_of(body)))
        else:
            self._dispatcher.part(flight, body_of(body))
