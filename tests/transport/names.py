"""A name server for one test, used by Trio instead of the system's."""

from __future__ import annotations

import socket
from typing import Any

import trio

__all__ = ["Names"]


class Names(trio.abc.HostnameResolver):
    """A name server with a list of addresses, an error, or no response for each name."""

    def __init__(self, **known: Any) -> None:
        self.known = known
        self.asked: list[str] = []

    async def getaddrinfo(self, host: Any, port: Any, *_: int, **__: int) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append(name)
        found = self.known.get(name.replace(".", "_"), OSError("unknown"))
        if isinstance(found, Exception):
            raise found
        if found is None:
            await trio.sleep_forever()
        families = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in found]
        return [
            (family, socket.SOCK_STREAM, 6, "", (one, int(port)))
            for family, one in zip(families, found, strict=True)
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError
