"""Opening a client, with its own connection, for the duration of a block."""

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

    Returns immediately, whether or not a broker is available: calls wait for it. Leaving the
    block ends all calls in flight. Exceptions from the block are unchanged, not in a group.

    Args:
      connect: endpoints of brokers, separated by commas: the first available one is used.
      token: sent with each call, as ``authorization: Bearer``.
      limits: limits on responses, by name: ``{"body_bytes": 2**25}``, which are announced to the
        brokers. (For requests, the limits of the broker apply, which it announces too.)

    Raises:
      ConfigError: if ``connect`` is not an endpoint, or ``limits`` has an unknown or invalid one.
      LocalProtocolError: if a header cannot carry ``token``.
      OSError: if there are too few file descriptors left.

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
    """Connect over ``transport``, which the caller closes; otherwise the same as `open_client`."""
    connection = Connection(transport, split_endpoints(connect), takes)
    async with running(connection.run):
        yield Client(connection, token=token)
