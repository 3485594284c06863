"""A server in one process whose handlers log what they do: BIND LOG NAME."""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

import trizmq

bind, log_name, name = sys.argv[1:]
log = os.open(log_name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
routes = trizmq.Router()


def note(call_id: str) -> None:
    """Append one line at once: it outlives this process, however that ends."""
    os.write(log, f"{call_id} {name}\n".encode())


@routes.get("/job/{call_id}")
@routes.post("/job/{call_id}")
async def job(call_id: str) -> str:
    note(call_id)
    return call_id


@routes.get("/job/hold/{call_id}")
@routes.post("/job/hold/{call_id}")
async def hold(call_id: str, seconds: float) -> str:
    note(call_id)
    await trio.sleep(seconds)
    return call_id


@routes.get("/job/block/{call_id}")
@routes.post("/job/block/{call_id}")
async def block(call_id: str, seconds: float) -> str:
    note(call_id)
    time.sleep(seconds)  # noqa: ASYNC251 (a handler that computes)
    return call_id


class Plugin:
    @trizmq.hookimpl
    def trizmq_register_routes(self) -> trizmq.Router:
        return routes


async def main(state: str) -> None:
    async with trio.open_nursery() as nursery:

        async def serve(task_status=trio.TASK_STATUS_IGNORED) -> None:
            await trizmq.serve(
                plugins=[Plugin()],
                bind=bind,
                state_dir=Path(state),
                handle_signals=True,
                grace=5,
                task_status=task_status,
            )
            nursery.cancel_scope.cancel()

        endpoint = await nursery.start(serve)
        print(endpoint, flush=True)


with TemporaryDirectory() as state:
    trio.run(main, state)
