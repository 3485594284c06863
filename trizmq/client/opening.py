"""Opening a client: a connection of its own, for as long as a block lasts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..beside import running
from ..limits import limits_of
from ..settings import DEFAULTS
from ..transport.endpoints import split_endpoints
from ..transport.zeromq import ZmqTransport
from ..wire.items import DEFAULT_TAKES
from .connection import Connection
from .trio_client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from ..transport.face import Transport
    from ..wire.items import Takes

__all__ = ["open_client", "open_client_on"]


@asynccontextmanager
async def open_client(
    connect: str = DEFAULTS.connect,
    *,
    token: str | None = None,
    limits: Mapping[str, Any] | None = None,
) -> AsyncIterator[Client]:
    """Connect to brokers: ``async with trizmq.open_client() as client:``.

    Returns at once, whether or not anybody is there: calls wait. Leaving the block ends
    what is still in flight. Errors of the block leave it as they are, in no group.

    Args:
      connect: endpoints of brokers, separated by commas: the first that is up is used.
      token: sent with each call, as ``authorization: Bearer``.
      limits: of responses, by name: ``{"body_bytes": 2**25}``; they are told to the brokers. (A
        request is held to the limits of the broker, which tells them, too.)

    Raises:
      ConfigError: ``connect`` is no endpoint, or ``limits`` has none of that name or size.
      LocalProtocolError: a header cannot carry ``token``.
      OSError: there are too few file descriptors left.

    """
    bounds = limits_of(limits or {})
    async with (
        ZmqTransport(max_frame=bounds.frame_bytes) as transport,
        open_client_on(transport, connect, token=token, takes=bounds.takes) as client,
    ):
        yield client


@asynccontextmanager
async def open_client_on(
    transport: Transport,
    connect: str,
    *,
    token: str | None = None,
    takes: Takes = DEFAULT_TAKES,
) -> AsyncIterator[Client]:
    """Connect over ``transport``, which stays the caller's to close; else as `open_client`."""
    connection = Connection(transport, split_endpoints(connect), takes)
    async with running(connection.run):
        yield Client(connection, token=token)
