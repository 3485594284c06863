"""A plugin for trizmq: routes that the plugin `users` does not have, as many as requested."""

from __future__ import annotations

import os

import trio

import trizmq

routes = trizmq.Router()

#: The number of additional routes; the last one is called.
COUNT = int(os.environ.get("BENCH_ROUTES", "1"))

#: About 2 ms of one core.
SPIN = range(100_000)


@routes.post("/echo")
async def echo(body: bytes) -> bytes:
    return body


@routes.get("/sleep")
async def sleep() -> bytes:
    await trio.sleep(0.1)
    return b""


@routes.get("/spin")
async def spin() -> bytes:
    return b"%d" % sum(SPIN)


async def get_number(number: int) -> int:
    return number


for name in [*map(str, range(COUNT - 1)), "last"]:
    routes.get(f"/routes/{name}/{{number:int}}")(get_number)


@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes
