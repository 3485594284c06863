"""nats-server, and nats-py on both sides of it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import nats

from .asyncio_load import obey
from .users import TOKEN, free_port, handle, measure, read, ready

#: The default is 1 MiB, and one of the bodies here is larger.
SETTINGS = "host: 127.0.0.1\nport: {port}\nmax_payload: 32MB\nmax_pending: 128MB\n"


async def respond(message):
    method, path, token = message.headers["request"].split()
    await message.respond(handle(method, path, token, message.data))


def main():
    port = free_port()
    with TemporaryDirectory() as directory:
        settings = Path(directory, "nats.conf")
        settings.write_text(SETTINGS.format(port=port))
        server = subprocess.Popen(["nats-server", "-c", settings])
        try:
            asyncio.run(serve(port))
        finally:
            server.terminate()
            server.wait()


async def serve(port):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await nats.connect(f"nats://127.0.0.1:{port}", reconnect_time_wait=0.1)
    await client.subscribe("bench", cb=respond, pending_bytes_limit=2**28)
    await client.flush()
    ready(f"nats://127.0.0.1:{port}")
    await stop.wait()
    await client.close()


class Connection:
    def __init__(self, client):
        self._client = client

    async def _request(self, head, body=b""):
        headers = {"request": f"{head} {TOKEN}"}
        return (await self._client.request("bench", body, timeout=30, headers=headers)).data

    async def get(self):
        read(await self._request("GET /users/1"))

    async def echo(self, body):
        measure(await self._request("POST /echo", body), body)


@asynccontextmanager
async def connect():
    client = await nats.connect(sys.argv[2], pending_size=2**28)
    yield Connection(client)
    await client.close()


main() if sys.argv[1] == "serve" else obey(connect)
