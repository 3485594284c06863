"""The client's half of a call: step by step, and as a whole."""

from __future__ import annotations

from functools import partial
from itertools import repeat, starmap
from time import thread_time
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import outcome
import trio
import trio.testing

from trizmq.client.connection import Connection
from trizmq.client.opening import open_client_on
from trizmq.client.requests import RequestMaker
from trizmq.client.trio_client import Client, _deadline, _response
from trizmq.messages import Response, no_headers
from trizmq.wire import native

from ..peers.users import read
from .clock import Clock, without_collector
from .stand_ins import StandInDealer, Transport
from .traffic import BODY, CALLS, FEW, PATH, in_batches, responses, written

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from trizmq.client.links import Pending

    from .clock import Costs

__all__ = ["measure_client", "measure_whole_client"]

ENDPOINT: Final = "tcp://stand-in:1"

#: As long as a real token; its value does not matter.
TOKEN: Final = "x" * 54

#: The arguments with which Trio creates a task.
Caller: TypeAlias = "Coroutine[Any, Any, None]"


async def measure_client(passes: int) -> Costs:
    """Return the costs of each step and of the total, each for ``passes`` times `CALLS` calls."""
    clock, dealer = Clock(), StandInDealer()
    async with open_client_on(Transport(dealer=dealer), ENDPOINT, token=TOKEN) as client:
        with without_collector():
            # In a task with as many scopes around it as the tasks that call.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_take_steps, clock, passes)
        for tasks in (CALLS, FEW):
            await _measure_whole(client, dealer, clock, passes, tasks)
    return clock.costs()


async def measure_whole_client(passes: int) -> Costs:
    """Return the costs of the total only."""
    clock, dealer = Clock(), StandInDealer()
    async with open_client_on(Transport(dealer=dealer), ENDPOINT, token=TOKEN) as client:
        await _measure_whole(client, dealer, clock, passes, CALLS)
    return clock.costs()


async def _measure_whole(
    client: Client, dealer: StandInDealer, clock: Clock, passes: int, tasks: int
) -> None:
    dealer.prepare(2 * passes * tasks)
    await clock.whole(partial(_call, client, tasks, passes), passes, tasks)


async def _call(client: Client, tasks: int, times: int) -> None:
    async def call() -> None:
        for _ in range(times):
            read((await client.get(PATH)).body)

    async with trio.open_nursery() as nursery:
        for _ in range(tasks):
            nursery.start_soon(call)


async def _take_steps(clock: Clock, passes: int) -> None:
    steps = _Steps(clock)
    for _ in range(passes):
        await steps.take()
    steps.end()
    await _measure_parking(clock, passes)


@final
class _Steps:
    """A connection that does not run: its functions are called directly."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = trio.current_time()
        self._dealer = dealer = StandInDealer()
        self._connection = connection = Connection(Transport(dealer=dealer), [ENDPOINT])
        self._engine = connection.engine
        (self._link,) = self._engine.links.taking
        connection._lines[self._link].dealer = dealer
        self._engine.connect(self._link, self._now)
        connection.receive(self._link, dealer)  # the broker's hello
        self._maker, self._client = RequestMaker(TOKEN), Client(connection, token=TOKEN)
        self._callers = _started(self._call() for _ in range(CALLS))

    async def take(self) -> None:
        """Run every step once for `CALLS` calls."""
        self._walk()
        await self._ask_trio()
        self._send()

    def end(self) -> None:
        for caller in self._callers:
            caller.close()

    async def _call(self) -> None:
        while True:
            read((await self._client.get(PATH)).body)

    def _walk(self) -> None:
        """Respond to every call, and let its task continue with the next, as Trio would."""
        pendings = list(self._link.in_flight.values())
        for pending in pendings:
            pending.waiter = _nobody  # otherwise Trio would be notified
        self._dealer.inbox.extend(_answers(pendings))
        began = thread_time()
        self._connection.receive(self._link, self._dealer)
        self._clock.note("_receive", thread_time() - began, CALLS)
        _resume(self._clock, "step", self._callers)

    async def _ask_trio(self) -> None:
        nothing = [()] * CALLS
        look, ask = trio.lowlevel.checkpoint_if_cancelled, trio.current_effective_deadline
        await self._clock.wait("checkpoint_if_cancelled", starmap(look, nothing))
        self._clock.run("effective_deadline", starmap(ask, nothing))
        self._clock.run("current_time", starmap(trio.current_time, nothing))
        self._clock.run("_deadline", map(_deadline, repeat(self._now, CALLS)))

    def _send(self) -> None:
        make = partial(self._maker.make, "GET", PATH, {}, self._now + 30)
        pendings = self._clock.run("make", map(make, repeat(True, CALLS)))
        self._clock.run("submit", map(self._engine.submit, pendings, repeat(self._now)))
        self._clock.run("encode", map(native.encode, in_batches(self._link.outgoing)), calls=CALLS)
        self._link.outgoing.clear()
        self._receive(pendings)
        pendings = [make(True) for _ in pendings]
        turns = map(self._connection.submit, pendings, repeat(self._now))
        self._clock.run("connection.submit", turns)
        self._receive(pendings)

    def _receive(self, pendings: Sequence[Pending]) -> None:
        items = self._clock.run("decode", map(native.decode, _answers(pendings)), calls=CALLS)
        turns = map(self._engine.receive, repeat(self._link), items, repeat(self._now))
        self._clock.run("receive", turns, calls=CALLS)
        self._engine.take_outbox()
        self._clock.run("_response", map(_response, pendings))
        empty = [no_headers() for _ in pendings]
        answers = self._clock.run("Response", map(Response, repeat(200), empty, repeat(BODY)))
        self._clock.run("json", map(read, [response.body for response in answers]))


def _nobody() -> None:
    pass


def _answers(pendings: Sequence[Pending]) -> list[list[bytes]]:
    return written(responses(pending.id for pending in pendings))


async def _measure_parking(clock: Clock, passes: int) -> None:
    """Park and wake tasks: with Trio, all in one pass, like a batch; and by hand."""
    tasks: list[trio.lowlevel.Task] = []

    async def park() -> None:
        while True:
            tasks.append(trio.lowlevel.current_task())
            await trio.lowlevel.wait_task_rescheduled(_let_go)

    async with trio.open_nursery() as nursery:
        for _ in range(CALLS):
            nursery.start_soon(park)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(passes):
            woken = tasks[:]
            tasks.clear()
            began = thread_time()
            for task in woken:
                trio.lowlevel.reschedule(task)
            while len(tasks) < CALLS:
                await trio.lowlevel.checkpoint()
            clock.note("turn", thread_time() - began, CALLS)
        nursery.cancel_scope.cancel()
    parked = _started(park() for _ in range(CALLS))
    for _ in range(passes):
        _resume(clock, "park", parked)


def _started(tasks: Iterable[Caller]) -> list[Caller]:
    """Run each task until it parks."""
    started = list(tasks)
    for task in started:
        task.send(None)
    return started


def _resume(clock: Clock, name: str, tasks: list[Caller]) -> None:
    """Wake each parked task, and run it until it parks again."""
    values = [outcome.Value(None) for _ in tasks]
    send: Any = CoroutineType.send
    clock.run(name, map(send, tasks, values))


def _let_go(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED
