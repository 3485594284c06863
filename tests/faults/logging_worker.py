"""A worker process whose handlers log what they do: BACKEND LOG NAME."""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

import trizmq
from trizmq.processes.work import work

endpoint, log_name, name = sys.argv[1:]
log = os.open(log_name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
routes = trizmq.Router()


def note(call_id: str) -> None:
    """Append one line at once: it outlives this process, however that ends."""
    os.write(log, f"{call_id} {name}\n".encode())


@routes.get("/job/{call_id}")
@routes.post("/job/{call_id}")
async def job(call_id: str) -> str:
    note(call_id)
    await trio.sleep(0.01)
    return call_id


@routes.get("/job/hold/{call_id}")
@routes.post("/job/hold/{call_id}")
async def hold(call_id: str) -> str:
    note(call_id)
    await trio.sleep(1.5)
    return call_id


@routes.get("/job/poison")
async def poison() -> None:
    note("poison")
    os._exit(1)


@routes.get("/job/block")
def block() -> str:
    time.sleep(4.5)
    return name


class Plugin:
    @trizmq.hookimpl
    def trizmq_register_routes(self) -> trizmq.Router:
        return routes


async def main(state: str) -> None:
    await work(
        connect=endpoint,
        plugins=[Plugin()],
        name=name,
        state_dir=Path(state),
        handle_signals=True,
        grace=5,
    )


with TemporaryDirectory() as state:
    trio.run(main, state)
