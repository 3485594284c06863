"""A network in memory, with the same face as ZeroMQ's: for tests, and under any clock."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final, final

import trio

from ..errors import ConfigError
from .face import PeerGone

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MemoryDealer", "MemoryRouter", "MemoryTransport"]

#: libzmq's default high-water mark, in messages.
HIGH_WATER_MARK: Final = 1000


class _Inbox:
    def __init__(self) -> None:
        self._news = trio.Event()
        self._closed = False

    async def wait_readable(self, *, or_writable: bool = False) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this socket was already closed")
        if not (self._is_readable() or (or_writable and self._is_writable())):
            self._news = trio.Event()
            await self._news.wait()
        else:
            await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError("this socket was closed")

    def settle(self) -> None:
        # Nothing is hidden here: what arrives wakes the reader by itself.
        pass

    def wake(self) -> None:
        self._news.set()

    def _is_readable(self) -> bool:
        raise NotImplementedError

    def _is_writable(self) -> bool:
        return False


@final
class MemoryRouter(_Inbox):
    """See `face.Router`."""

    def __init__(self, network: MemoryTransport, endpoint: str) -> None:
        super().__init__()
        self._network = network
        self._peers: dict[bytes, MemoryDealer] = {}
        self._ids = count(1)
        self.endpoint = endpoint
        self.inbox: deque[tuple[bytes, list[bytes]]] = deque()

    def receive_nowait(self) -> tuple[bytes, list[bytes]] | None:
        if not self.inbox:
            return None
        message = self.inbox.popleft()
        if len(self.inbox) == HIGH_WATER_MARK - 1:
            for dealer in self._peers.values():
                dealer.wake()
        return message

    def send_nowait(self, peer: bytes, frames: Sequence[bytes]) -> None:
        dealer = self._peers.get(peer)
        if dealer is None:
            raise PeerGone
        if len(dealer.inbox) >= HIGH_WATER_MARK:
            raise trio.WouldBlock
        dealer.inbox.append(list(frames))
        dealer.wake()

    def close(self, linger: float = 0) -> None:
        if not self._closed:
            self._closed = True
            self._network.forget(self)
            for dealer in self._peers.values():
                dealer.detach()
            self.wake()

    def attach(self, dealer: MemoryDealer) -> bytes:
        """Take ``dealer`` in; return its routing id (which starts with 0, as libzmq's do)."""
        peer = b"\0" + next(self._ids).to_bytes(4, "big")
        self._peers[peer] = dealer
        return peer

    def drop(self, peer: bytes) -> None:
        """Forget a dealer that has closed."""
        self._peers.pop(peer, None)

    def _is_readable(self) -> bool:
        return bool(self.inbox)


@final
class MemoryDealer(_Inbox):
    """See `face.Dealer`. What is sent before the router is there waits, as in ZeroMQ."""

    def __init__(self, network: MemoryTransport, endpoint: str) -> None:
        super().__init__()
        self._network = network
        self._endpoint = endpoint
        self._router: MemoryRouter | None = None
        self._peer = b""
        self._waiting: deque[list[bytes]] = deque()
        self.inbox: deque[list[bytes]] = deque()

    def receive_nowait(self) -> list[bytes] | None:
        return self.inbox.popleft() if self.inbox else None

    def send_nowait(self, frames: Sequence[bytes]) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this socket was already closed")
        if not self._is_writable():
            raise trio.WouldBlock
        self._waiting.append(list(frames))
        self.deliver()

    def deliver(self) -> None:
        """Pass on what waits, if the router is there: it calls this when it comes."""
        if self._router is None:
            self._router = self._network.router(self._endpoint)
            if self._router is None:
                return
            self._peer = self._router.attach(self)
        while self._waiting:
            self._router.inbox.append((self._peer, self._waiting.popleft()))
        self._router.wake()

    def waits_for(self, endpoint: str) -> bool:
        """Tell whether this dealer wants to reach ``endpoint`` and has not."""
        return self._router is None and self._endpoint == endpoint

    def detach(self) -> None:
        """Lose the router; the next one at the endpoint takes over, as after a reconnect."""
        self._router = None
        self.wake()  # the inbox that was full has gone with it

    def close(self, linger: float = 0) -> None:
        if not self._closed:
            self._closed = True
            self._network.forget(self)
            if self._router is not None:
                self._router.drop(self._peer)
            self.wake()

    def _is_readable(self) -> bool:
        return bool(self.inbox)

    def _is_writable(self) -> bool:
        if self._router is None:
            return len(self._waiting) < HIGH_WATER_MARK
        return len(self._router.inbox) < HIGH_WATER_MARK


@final
class MemoryTransport:
    """One network: its endpoints are any strings. See `face.Transport`."""

    def __init__(self) -> None:
        self._routers: dict[str, MemoryRouter] = {}
        self._dealers: list[MemoryDealer] = []

    def bind(self, endpoint: str) -> MemoryRouter:
        if endpoint in self._routers:
            raise ConfigError(f"cannot bind {endpoint}: address already in use")
        router = self._routers[endpoint] = MemoryRouter(self, endpoint)
        for dealer in self._dealers:
            if dealer.waits_for(endpoint):
                dealer.deliver()
        return router

    def connect(self, endpoint: str) -> MemoryDealer:
        dealer = MemoryDealer(self, endpoint)
        self._dealers.append(dealer)
        return dealer

    def router(self, endpoint: str) -> MemoryRouter | None:
        """Return who is bound at ``endpoint``, if anybody is."""
        return self._routers.get(endpoint)

    def forget(self, socket: MemoryRouter | MemoryDealer) -> None:
        """Take out a socket that has closed."""
        if isinstance(socket, MemoryRouter):
            self._routers.pop(socket.endpoint, None)
        else:
            self._dealers.remove(socket)

    async def aclose(self) -> None:
        for router in [*self._routers.values()]:
            router.close()
        for dealer in [*self._dealers]:
            dealer.close()
        await trio.lowlevel.checkpoint()
