"""Opening a client: a connection of its own, for as long as a block lasts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..engine.limits import Limits
from ..transport.endpoints import split_endpoints
from ..transport.zeromq import ZmqTransport
from .beside import running
from .client import Client
from .connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..transport.face import Transport

__all__ = ["open_client", "open_client_on"]


@asynccontextmanager
async def open_client(
    connect: str = "tcp://127.0.0.1:5555", *, token: str | None = None
) -> AsyncIterator[Client]:
    """Connect to brokers: ``async with trizmq.open_client() as client:``.

    Returns at once, whether or not anybody is there: calls wait. Leaving the block ends
    what is still in flight. Errors of the block leave it as they are, in no group.

    Args:
      connect: endpoints of brokers, separated by commas: the first that is up is used.
      token: sent with each call, as ``authorization: Bearer``.

    Raises:
      ConfigError: ``connect`` is no endpoint.
      LocalProtocolError: a header cannot carry ``token``.
      OSError: there are too few file descriptors left.

    """
    async with (
        ZmqTransport(max_frame=Limits().frame_bytes) as transport,
        open_client_on(transport, connect, token=token) as client,
    ):
        yield client


@asynccontextmanager
async def open_client_on(
    transport: Transport, connect: str, *, token: str | None = None
) -> AsyncIterator[Client]:
    """Connect over ``transport``, which stays the caller's to close; else as `open_client`."""
    connection = Connection(transport, split_endpoints(connect))
    async with running(connection.run):
        yield Client(connection, token=token)
