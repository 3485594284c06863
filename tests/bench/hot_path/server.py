"""The server's half of a call: step by step, and as a whole."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from itertools import repeat, starmap
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time
from typing import TYPE_CHECKING, Any, Final, final

import trio
import trio.testing
import trizmq_auth
import trizmq_users
from trizmq_auth.verifier import Verifier

from trizmq.app.application import App
from trizmq.app.arguments import compile_arguments
from trizmq.app.handlers import compile_guard
from trizmq.app.results import result_writer
from trizmq.broker.calls import Flight
from trizmq.broker.gate import _view
from trizmq.messages import Response
from trizmq.processes.server import Server
from trizmq.settings import Settings
from trizmq.wire import items, native
from trizmq.wire import reading as dialects
from trizmq.wire.native import batches
from trizmq.worker.pool import Post, WorkerPool
from trizmq.worker.runner import LocalWorker

from .clock import Clock, without_collector
from .stand_ins import ADDRESS, StandInRouter, Transport
from .traffic import BODY, CALLS, FEW, admin_token, calls, in_batches, responses, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from .clock import Costs

__all__ = ["measure_server", "measure_whole_server"]

#: The number of items that the pool receives at once, so that little of its time is Trio's.
AT_ONCE: Final = 1024


async def measure_server(passes: int) -> Costs:
    """Return the costs of each step and of the total, each for ``passes`` times `CALLS` calls."""
    clock = Clock()
    async with _serving() as (app, token):
        with without_collector():
            steps = _Steps(app, token, clock)
            for _ in range(passes):
                await steps.take()
            await _measure_pool(clock, passes * CALLS // AT_ONCE + 1)
        await _measure_whole(app, token, clock, passes, CALLS)
        await _measure_whole(app, token, clock, passes, FEW)
    return clock.costs()


async def measure_whole_server(passes: int) -> Costs:
    """Return the costs of the total only."""
    clock = Clock()
    async with _serving() as (app, token):
        await _measure_whole(app, token, clock, passes, CALLS)
    return clock.costs()


@asynccontextmanager
async def _serving() -> AsyncIterator[tuple[App, str]]:
    """Load the plugins, with a token in a temporary directory."""
    with TemporaryDirectory() as folder:
        app = App(["users", "auth"], state_dir=Path(folder))
        async with app.lifespan():
            yield app, admin_token(folder)


@final
class _Steps:
    """A server that does not run: its functions are called directly, with their usual arguments."""

    def __init__(self, app: App, token: str, clock: Clock) -> None:
        self._token, self._clock = token, clock
        self._messages = written(calls(token))
        self._router = StandInRouter(token)
        server = Server(Transport(router=self._router), app, Settings(bind=""))
        self._broker, self._loop = server.broker, server._loop
        assert isinstance(self._loop.local, LocalWorker)
        self._local = self._loop.local
        (self._socket,) = self._loop._sockets
        (self._frontend,) = self._broker.frontends
        self._now = trio.current_time()
        self._loop._read_some(self._socket)  # the client's hello
        assert app.admit is not None
        self._admit_call, self._table = app.admit, app._table
        (route,) = (route for route in app.routes if route.handler is trizmq_users.get_user)
        resources = app._resources
        self._guard: Any = compile_guard(route, trizmq_auth.trizmq_precondition(route), resources)
        verifier = resources.find(Verifier)
        assert verifier is not None
        self._admit_hook: Any = partial(trizmq_auth.trizmq_admit, verifier=verifier.value)
        self._arguments = compile_arguments(route, resources)
        self._write = result_writer(returns_nothing=False)

    async def take(self) -> None:
        """Run every step once for `CALLS` calls."""
        await self._walk()
        self._receive()
        self._admit()
        await self._handle()
        self._end()

    async def _walk(self) -> None:
        """Handle the calls in the longest steps that are possible without Trio."""
        loop, where, when = self._loop, repeat(ADDRESS), repeat(self._now)
        take = self._socket.receive
        self._clock.run("_receive_client", map(take, where, self._messages, when), calls=CALLS)
        for flights in in_batches(self._broker.take_outbox().started):
            # Like the pool: each item in a worker's slot.
            post = Post(trio.lowlevel.current_task(), trio.CancelScope())
            self._local._pool._running.update(dict.fromkeys(flights, post))
            await self._clock.wait("_handle", map(self._local._handle, flights))
            self._local._pool._running.clear()
            began = thread_time()
            loop.act()
            self._clock.note("act", thread_time() - began, len(flights))

    def _receive(self) -> None:
        where, when = repeat(ADDRESS), repeat(self._now)
        sizes = [sum(map(len, frames)) for frames in self._messages]
        # `Any`: to the type checker, these could be calls of another dialect.
        read: Any = self._clock.run("read", map(dialects.read, self._messages), calls=CALLS)
        turns = map(self._frontend.receive, where, read, when, sizes)
        self._clock.run("receive", turns, calls=CALLS)
        self._finish(self._broker.take_outbox().started)

    def _admit(self) -> None:
        dispatcher, flights = self._broker._dispatcher, self._flights()
        self._clock.run("open", map(dispatcher.open, flights))
        views = self._clock.run("_view", map(_view, flights))
        self._clock.run("admit", map(self._admit_call, views))
        self._clock.run("trizmq_admit", map(self._admit_hook, views))
        self._clock.run("place", map(dispatcher.place, flights))
        self._finish(self._broker.take_outbox().started)

    async def _handle(self) -> None:
        flights = self._dispatched()
        requests = self._clock.run("_request", map(self._local._request, flights))
        methods, paths = [it.method for it in requests], [it.path for it in requests]
        found = self._clock.run("match", map(self._table.match, methods, paths))
        for request, match in zip(requests, found, strict=True):
            assert match is not None
            _, request.path_params = match
        for request, flight in zip(requests, flights, strict=True):
            request.principal = flight.principal
        self._clock.run("guard", map(self._guard, requests))
        arguments = self._clock.run("arguments", map(self._arguments.of, requests))
        users = await self._clock.wait("get_user", starmap(trizmq_users.get_user, arguments))
        self._clock.run("write", map(self._write, users))
        self._finish(flights)

    def _end(self) -> None:
        flights = self._dispatched()
        outcomes = [Response(200, body=BODY) for _ in flights]
        self._clock.run("finish", map(self._broker.finish, flights, outcomes, repeat(self._now)))
        self._broker.take_outbox()
        answers = in_batches(responses(range(CALLS)))
        self._clock.run("batches", map(batches, answers), calls=CALLS)

    def _flights(self) -> list[Flight]:
        """Return calls as the broker accepts them, not yet opened."""
        service, (peer,) = self._broker.services["users"], self._frontend.clients.native.values()
        return [Flight(peer, call, self._now + 30, service) for call in calls(self._token)]

    def _dispatched(self) -> list[Flight]:
        """Return calls that only wait for the local worker."""
        for frames in self._messages:
            self._socket.receive(ADDRESS, frames, self._now)
        return self._broker.take_outbox().started

    def _finish(self, flights: Iterable[Flight]) -> None:
        for flight in flights:
            self._broker.finish(flight, Response(200, body=BODY), self._now)
        self._broker.take_outbox()


async def _measure_pool(clock: Clock, times: int) -> None:
    """Let the pool handle items that need no work."""
    pool: WorkerPool[int] = WorkerPool(_nothing, size=8)
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(times):
            items = list(range(AT_ONCE))
            began = thread_time()
            pool.put(items)
            while pool._ready:
                await trio.lowlevel.checkpoint()
            clock.note("pool", thread_time() - began, AT_ONCE)
            await clock.wait("nothing", map(_nothing, items))
        nursery.cancel_scope.cancel()


async def _nothing(_: object) -> None:
    pass


async def _measure_whole(app: App, token: str, clock: Clock, passes: int, at_once: int) -> None:
    """Run the server with a socket that costs nothing; this many calls arrive in each pass."""
    router = StandInRouter(token, at_once)
    server = Server(Transport(router=router), app, Settings(bind=""))

    async def go() -> None:
        await router.deliver(passes)
        while server.broker.in_flight:
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        await trio.testing.wait_all_tasks_blocked()
        await clock.whole(go, passes, at_once)
        nursery.cancel_scope.cancel()
    said = [item for frames in router.sent for item in native.decode(frames)]
    statuses = [item.status for item in said if isinstance(item, items.Response)]
    assert statuses == [200] * (2 * passes * at_once), server.broker.counters
