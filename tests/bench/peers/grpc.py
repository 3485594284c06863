"""grpc.aio, without protobuf: the bodies are JSON, the token is metadata."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import grpc

from .asyncio_load import obey
from .users import TOKEN, handle, measure, read, ready

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
METADATA = (("token", TOKEN),)


async def get(request, context):
    return handle("GET", request.decode(), dict(context.invocation_metadata())["token"])


async def echo(request, context):
    return handle("POST", "/echo", dict(context.invocation_metadata())["token"], request)


async def serve():
    server = grpc.aio.server(options=UNLIMITED)
    methods = {f.__name__: grpc.unary_unary_rpc_method_handler(f) for f in (get, echo)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Users", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ready(f"tcp://127.0.0.1:{port}")
    await server.wait_for_termination()


class Connection:
    def __init__(self, channel):
        self._get = channel.unary_unary("/Users/get")
        self._echo = channel.unary_unary("/Users/echo")

    async def get(self):
        read(await self._get(b"/users/1", metadata=METADATA))

    async def echo(self, body):
        measure(await self._echo(body, metadata=METADATA), body)


@asynccontextmanager
async def connect():
    # Without a pool of their own, channels to one address share one connection.
    options = [*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(sys.argv[2].removeprefix("tcp://"), options) as channel:
        yield Connection(channel)


asyncio.run(serve()) if sys.argv[1] == "serve" else obey(connect)
