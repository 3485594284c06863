"""Carry orders out on Trio."""

from __future__ import annotations

import sys
from itertools import cycle
from time import perf_counter

import trio

from .orders import Log, read_order


def obey(connect):
    """Carry out orders, over connections made by ``connect``, until there are no more."""
    trio.run(_obey, connect)


async def _obey(connect):
    connections = []
    async with trio.open_nursery() as holders:
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            order = read_order(line)
            while len(connections) < order.connections:
                connections.append(await holders.start(_hold, connect))
            (await _run(order, connections)).answer()
        holders.cancel_scope.cancel()


async def _hold(connect, *, task_status):
    # A separate task for each: Trio's scopes should not be nested a thousand deep.
    async with connect() as connection:
        task_status.started(connection)
        await trio.sleep_forever()


async def _run(order, connections):
    log = Log(order)
    async with trio.open_nursery() as nursery:
        for i in range(order.tasks):
            nursery.start_soon(_call, order, order.share(connections, i), log)
    return log


async def _call(order, connections, log):
    calls = cycle([getattr(connection, order.call) for connection in connections])
    while (began := perf_counter()) < log.ends_at:
        await next(calls)(*order.arguments)
        log.note(began)
