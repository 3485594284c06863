"""A broker process, for clients at BIND and workers at BACKEND; reports when it is ready."""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from trizmq.beside import running
from trizmq.processes.serve import serve_broker
from trizmq.settings import Settings

bind, backend = sys.argv[1:]


async def main(state: str) -> None:
    serve = partial(
        serve_broker, Settings(bind=bind, backend=backend, state_dir=Path(state), wait=10)
    )
    async with running(serve):
        print("up", flush=True)
        await trio.sleep_forever()


with TemporaryDirectory() as state:
    trio.run(main, state)
