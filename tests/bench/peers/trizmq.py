"""trizmq's own client, as users write it."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

from trizmq import SyncClient
from trizmq.client.opening import open_client_on
from trizmq.limits import Limits
from trizmq.transport.zeromq import ZmqTransport

from . import thread_load, trio_load
from .users import measure, read

TOKEN = Path(os.environ["TRIZMQ_STATE_DIR"], "admin-token").read_text().strip()
MANY = [("GET", "/users/1")] * 16

#: The default limit of libzmq is 1,023 sockets per context.
CLIENTS_A_CONTEXT = 500


class Connection:
    def __init__(self, client):
        self._client = client

    async def get(self):
        response = await self._client.get("/users/1")
        read(response.body)

    async def many(self):
        for response in await self._client.call_many(MANY):
            read(response.body)

    async def echo(self, body):
        response = await self._client.post("/echo", body=body)
        measure(response.body, body)

    async def route(self):
        (await self._client.get("/routes/last/1")).raise_for_status()

    async def sleep(self):
        (await self._client.get("/sleep")).raise_for_status()

    async def spin(self):
        (await self._client.get("/spin")).raise_for_status()


class SyncConnection:
    def __init__(self, client):
        self._client = client

    def get(self):
        read(self._client.get("/users/1").body)

    def echo(self, body):
        measure(self._client.post("/echo", body=body).body, body)


transports, made = [], count()


@asynccontextmanager
async def connect():
    # Like `open_client`, which would start two threads for each of 2,000 connections.
    if next(made) % CLIENTS_A_CONTEXT == 0:
        transports.append(ZmqTransport(max_frame=Limits().frame_bytes))
    async with open_client_on(transports[-1], sys.argv[2], token=TOKEN) as client:
        connection = Connection(client)
        await connection.get()
        yield connection


@contextmanager
def connect_sync():
    with SyncClient(sys.argv[2], token=TOKEN) as client:
        yield SyncConnection(client)


if sys.argv[1] == "sync":
    thread_load.obey(connect_sync)
else:
    trio_load.obey(connect)
