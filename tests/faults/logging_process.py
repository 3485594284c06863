"""A server or worker with handlers that log their calls: ROLE ENDPOINT LOG NAME."""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

import trizmq
from trizmq.processes.work import work

role, endpoint, log_name, name = sys.argv[1:]
log = os.open(log_name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
routes = trizmq.Router("/job")


def note(call_id: str) -> None:
    """Append one line immediately, so that it outlives this process."""
    os.write(log, f"{call_id} {name}\n".encode())


@routes.get("/{call_id}")
@routes.post("/{call_id}")
async def job(call_id: str) -> str:
    note(call_id)
    if role == "worker":
        await trio.sleep(0.01)
    return call_id


@routes.get("/hold/{call_id}")
@routes.post("/hold/{call_id}")
async def hold(call_id: str, seconds: float = 1.5) -> str:
    note(call_id)
    await trio.sleep(seconds)
    return call_id


@routes.get("/block-loop/{call_id}")
@routes.post("/block-loop/{call_id}")
async def block_loop(call_id: str, seconds: float) -> str:
    note(call_id)
    time.sleep(seconds)  # noqa: ASYNC251 (a handler that computes)
    return call_id


@routes.get("/block-thread/{call_id}")
def block_thread(call_id: str, seconds: float) -> str:
    note(call_id)
    time.sleep(seconds)
    return call_id


@routes.get("/poison")
async def poison() -> None:
    note("poison")
    os._exit(1)


class Plugin:
    @trizmq.hookimpl
    def trizmq_register_routes(self) -> trizmq.Router:
        return routes


async def serve(**options: Any) -> None:
    async with trio.open_nursery() as nursery:

        async def run(task_status=trio.TASK_STATUS_IGNORED) -> None:
            await trizmq.serve(bind=endpoint, task_status=task_status, **options)
            nursery.cancel_scope.cancel()

        await nursery.start(run)
        print("ready", flush=True)


async def main(state: str) -> None:
    options: Any = {
        "plugins": [Plugin()],
        "state_dir": Path(state),
        "handle_signals": True,
        "grace": 5,
    }
    if role == "server":
        await serve(**options)
    else:
        await work(connect=endpoint, name=name, **options)


with TemporaryDirectory() as state:
    trio.run(main, state)
