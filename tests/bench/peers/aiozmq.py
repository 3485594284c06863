"""aiozmq.rpc, on asyncio: any number of calls on one connection."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

from aiozmq import rpc

from .asyncio_load import obey
from .users import TOKEN, handle, measure, read, ready


class Users(rpc.AttrHandler):
    @rpc.method
    def handle(self, method, path, token, body):
        return handle(method, path, token, body)


async def serve():
    server = await rpc.serve_rpc(Users(), bind="tcp://127.0.0.1:*")
    (endpoint,) = server.transport.bindings()
    ready(endpoint)
    await server.wait_closed()


class Connection:
    def __init__(self, client):
        self._call = client.call

    async def get(self):
        read(await self._call.handle("GET", "/users/1", TOKEN, b""))

    async def echo(self, body):
        measure(await self._call.handle("POST", "/echo", TOKEN, body), body)


@asynccontextmanager
async def connect():
    client = await rpc.connect_rpc(connect=sys.argv[2])
    yield Connection(client)
    client.close()


asyncio.run(serve()) if sys.argv[1] == "serve" else obey(connect)
