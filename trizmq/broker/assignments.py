"""What workers are told of calls, each in the words of its dialect."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, final

from ..wire import mdp
from ..wire.items import Call, Cancel, frames_of
from ..wire.mdp import MDP
from .workers import LOCAL, NATIVE

if TYPE_CHECKING:
    from .calls import Flight
    from .outbox import Outbox
    from .workers import Worker

__all__ = ["Assignments"]


@final
class Assignments:
    """Gives calls to workers, under tokens that no other broker, and no other call, has had."""

    def __init__(self, outbox: Outbox, *, instance: str) -> None:
        self._outbox = outbox
        self._instance = instance
        self._tokens = count(1)

    def give(self, flight: Flight, worker: Worker, now: float) -> None:
        """Tell ``worker`` to do what ``flight`` asks for."""
        if worker.dialect == LOCAL:
            self._outbox.dispatched.append(flight)
        elif worker.dialect == NATIVE:
            self._give_native(flight, worker, now)
        else:
            self._give_mdp(flight, worker)

    def _give_native(self, flight: Flight, worker: Worker, now: float) -> None:
        assert worker.address is not None
        flight.token = token = next(self._tokens)
        worker.flights[token] = flight
        worker.was_told = True
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
        )
        self._outbox.assign(worker.address, item)

    def _give_mdp(self, flight: Flight, worker: Worker) -> None:
        assert worker.address is not None
        flight.token = token = f"{self._instance}{next(self._tokens):08x}".encode()
        worker.flights[token] = flight
        worker.was_told = True
        request = mdp.Request(token, tuple(frames_of(flight.body)))
        frames = MDP[worker.dialect].encode_worker(request)
        self._outbox.worker_messages.append((worker.address, frames))

    def take_back(self, flight: Flight) -> None:
        """Tell the worker that has ``flight`` to stop; MDP has no word for that."""
        worker = flight.worker
        if worker is None:
            return
        if worker.dialect == LOCAL:
            self._outbox.abandoned.append(flight)
        elif worker.dialect == NATIVE and worker.address is not None:
            assert isinstance(flight.token, int)
            self._outbox.assign(worker.address, Cancel(flight.token))
