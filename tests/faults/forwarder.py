"""A TCP forwarder between clients and a server, with connections that a test can cut or delay."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Forwarder", "forwarding"]

from contextlib import asynccontextmanager


class Forwarder:
    """Forwards bytes in both directions.

    Attributes:
      endpoint: the endpoint for clients.
      holds_requests: hold back data from clients, which is lost when the connection is cut.
      holds_responses: the same for data from the server.

    """

    def __init__(self, target: str, port: int) -> None:
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self.holds_requests = self.holds_responses = False
        self._target = int(target.rpartition(":")[2])
        self._scopes: list[trio.CancelScope] = []
        self.connections = 0

    def cut(self) -> None:
        """End every connection; new ones are possible immediately."""
        self.holds_requests = self.holds_responses = False
        scopes, self._scopes = self._scopes, []
        for scope in scopes:
            scope.cancel()

    async def serve(self, client: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            self.connections += 1
            with suppress(OSError, trio.BrokenResourceError):
                server = await trio.open_tcp_stream("127.0.0.1", self._target)
                async with server, trio.open_nursery() as nursery:
                    nursery.start_soon(self._pass_on, client, server, "holds_requests", scope)
                    nursery.start_soon(self._pass_on, server, client, "holds_responses", scope)

    async def _pass_on(
        self,
        source: trio.SocketStream,
        target: trio.SocketStream,
        hold: str,
        scope: trio.CancelScope,
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                while getattr(self, hold):
                    await trio.sleep(0.005)
                await target.send_all(data)
        scope.cancel()


@asynccontextmanager
async def forwarding(target: str) -> AsyncIterator[Forwarder]:
    """Forward to ``target`` for the duration of the block."""
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        forwarder = Forwarder(target, port)
        nursery.start_soon(trio.serve_listeners, forwarder.serve, [listener])
        yield forwarder
        nursery.cancel_scope.cancel()
