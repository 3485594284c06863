"""Our worker at another broker: ENDPOINT DIALECT. Services `echo` and `slow`."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

import trizmq
from trizmq.processes.work import work

routes = trizmq.Router()


@routes.post("/echo")
async def echo(request: trizmq.Request) -> bytes:
    return b"|".join(request.frames)


@routes.post("/slow")
async def slow(request: trizmq.Request) -> bytes:
    await trio.sleep(float(request.body))
    return request.body


@routes.post("/parts")
async def parts(request: trizmq.Request) -> None:
    later = request.reply_later()
    for frame in request.frames:
        later.acknowledge(frame)
    later.respond(b"end")


class Plugin:
    @trizmq.hookimpl
    def trizmq_register_routes(self) -> trizmq.Router:
        return routes


async def main(state: str) -> None:
    endpoint, dialect = sys.argv[1:]
    await work(
        connect=endpoint,
        plugins=[Plugin()],
        dialect=dialect,
        capacity=2,
        state_dir=Path(state),
        handle_signals=True,
        grace=5,
    )


with TemporaryDirectory() as state:
    trio.run(main, state)
