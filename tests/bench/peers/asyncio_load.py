"""Carry orders out on asyncio."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from itertools import cycle
from time import perf_counter

from .orders import Log, read_order


def obey(connect):
    """Carry out orders, over connections made by ``connect``, until there are no more."""
    asyncio.run(_obey(connect))


async def _obey(connect):
    connections = []
    async with AsyncExitStack() as stack:
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = read_order(line)
            while len(connections) < order.connections:
                connections.append(await stack.enter_async_context(connect()))
            log = Log(order)
            await asyncio.gather(
                *(_call(order, order.share(connections, i), log) for i in range(order.tasks))
            )
            log.answer()


async def _call(order, connections, log):
    calls = cycle([getattr(connection, order.call) for connection in connections])
    while (began := perf_counter()) < log.ends_at:
        await next(calls)(*order.arguments)
        log.note(began)
