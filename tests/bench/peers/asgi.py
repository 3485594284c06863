"""The common part of the two HTTP peers: uvicorn on uvloop with httptools, and aiohttp's client."""

from __future__ import annotations

import socket
import sys
from contextlib import asynccontextmanager

import aiohttp
import uvicorn

from .asyncio_load import obey
from .users import TOKEN, measure, read, ready


def serve(app):
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="warning")
    ready(f"http://127.0.0.1:{listener.getsockname()[1]}")
    uvicorn.Server(config).run([listener])


class Connection:
    def __init__(self, session):
        self._session = session

    async def get(self):
        async with self._session.get("/users/1") as response:
            read(await response.read())

    async def echo(self, body):
        async with self._session.post("/echo", data=body) as response:
            measure(await response.read(), body)


@asynccontextmanager
async def connect():
    # HTTP/1.1 has one call at a time on a connection: the session opens as many as it needs.
    connector, headers = aiohttp.TCPConnector(limit=0), {"authorization": TOKEN}
    async with aiohttp.ClientSession(
        sys.argv[2], headers=headers, connector=connector, raise_for_status=True
    ) as session:
        yield Connection(session)


def main(app):
    serve(app) if sys.argv[1] == "serve" else obey(connect)
