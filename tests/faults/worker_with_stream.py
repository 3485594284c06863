"""A worker for the broker at ENDPOINT, whose service `ticks` has an endless stream."""

import sys
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace

import trio

import trizmq
from trizmq.beside import running
from trizmq.processes.work import work_with
from trizmq.settings import Settings

routes = trizmq.Router("/ticks")


@routes.get("/endless")
async def ticks() -> AsyncIterator[int]:
    number = 0
    while True:
        yield number
        number += 1
        await trio.sleep(0.01)


@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes


async def main(endpoint: str) -> None:
    plugin = SimpleNamespace(trizmq_register_routes=trizmq_register_routes)
    async with running(partial(work_with, Settings(plugins=(plugin,), backend=endpoint))):
        print("up", flush=True)
        await trio.sleep_forever()


trio.run(main, sys.argv[1])
