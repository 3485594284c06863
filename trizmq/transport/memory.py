"""An in-memory network with the same interface as ZeroMQ's, for tests and for any clock."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final, final

import trio

from ..errors import ConfigError
from .face import PeerGone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        # Nothing is hidden here: every arriving message wakes the reader.
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
        self._watched: set[bytes] = set()
        self._gone: list[bytes] = []
        self._has_gone = trio.Event()
        self.endpoint = endpoint
        self.inbox: deque[tuple[bytes, list[bytes]]] = deque()
        self.crowded: set[bytes] = set()

    def receive_nowait(self) -> tuple[bytes, list[bytes]] | None:
        if not self.inbox:
            return None
        message = self.inbox.popleft()
        if len(self.inbox) == HIGH_WATER_MARK - 1:
            for dealer in self._peers.values():
                dealer.wake()
        return message

    def bound_unsent(self, each: int, together: int, beside: Callable[[], int] = int) -> None:
        pass  # waiting messages are in the memory of the peer, which is this process

    @property
    def unsent_bytes(self) -> int:
        return 0

    def disconnect(self, is_stranger: Callable[[bytes], bool]) -> None:
        pass

    def unsent(self, peer: bytes) -> int:
        return 0

    def send_nowait(self, peer: bytes, frames: Sequence[bytes], *, beyond: bool = False) -> None:
        dealer = self._peers.get(peer)
        if dealer is None:
            raise PeerGone
        if len(dealer.inbox) >= HIGH_WATER_MARK and not beyond:
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
        """Add ``dealer`` and return its routing id (which starts with 0, as in libzmq)."""
        peer = b"\0" + next(self._ids).to_bytes(4, "big")
        self._peers[peer] = dealer
        return peer

    def drop(self, peer: bytes) -> None:
        """Remove a dealer that was closed."""
        self._peers.pop(peer, None)
        if peer in self._watched:
            self._watched.remove(peer)
            self._gone.append(peer)
            self._has_gone.set()

    def watch(self, peer: bytes) -> None:
        if peer in self._peers:
            self._watched.add(peer)

    async def wait_gone(self) -> list[bytes]:
        await self._has_gone.wait()
        gone, self._gone, self._has_gone = self._gone, [], trio.Event()
        return gone

    def _is_readable(self) -> bool:
        return bool(self.inbox)


@final
class MemoryDealer(_Inbox):
    """See `face.Dealer`."""

    def __init__(self, network: MemoryTransport, router: MemoryRouter | None) -> None:
        super().__init__()
        self._network = network
        self._router = router
        self._peer = b"" if router is None else router.attach(self)
        self._is_connected = router is not None
        self._end = trio.Event()
        self.inbox: deque[list[bytes]] = deque()
        if router is None:
            self._end.set()

    def receive_nowait(self) -> list[bytes] | None:
        return self.inbox.popleft() if self.inbox else None

    def send_nowait(self, frames: Sequence[bytes]) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this socket was already closed")
        if not self._is_writable():
            raise trio.WouldBlock
        if self._router is not None:
            self._router.inbox.append((self._peer, list(frames)))
            self._router.wake()

    async def wait_connected(self) -> bool:
        await trio.lowlevel.checkpoint()
        return self._is_connected

    async def wait_lost(self) -> None:
        await self._end.wait()

    @property
    def is_lost(self) -> bool:
        return self._end.is_set()

    @property
    def is_ending(self) -> bool:
        return self._end.is_set()

    def detach(self) -> None:
        """Disconnect from the router."""
        self._router = None
        self._end.set()
        self.wake()

    def close(self, linger: float = 0) -> None:
        if not self._closed:
            self._closed = True
            self._network.forget(self)
            self._end.set()
            if self._router is not None:
                self._router.drop(self._peer)
            self.wake()

    def _is_readable(self) -> bool:
        return bool(self.inbox)

    def _is_writable(self) -> bool:
        return self._router is None or len(self._router.inbox) < HIGH_WATER_MARK


@final
class MemoryTransport:
    """A network whose endpoints can be any strings. See `face.Transport`."""

    def __init__(self) -> None:
        self._routers: dict[str, MemoryRouter] = {}
        self._dealers: list[MemoryDealer] = []

    def bind(self, endpoint: str) -> MemoryRouter:
        if endpoint in self._routers:
            raise ConfigError(f"cannot bind {endpoint}: address already in use")
        router = self._routers[endpoint] = MemoryRouter(self, endpoint)
        return router

    def check(self, endpoint: str) -> None:
        pass

    async def find(self, endpoint: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        return [endpoint]

    async def is_refused(self, address: str) -> bool:
        await trio.lowlevel.checkpoint()
        return address not in self._routers

    def connect(self, address: str, *, beats: bool = False) -> MemoryDealer:
        dealer = MemoryDealer(self, self._routers.get(address))
        self._dealers.append(dealer)
        return dealer

    def forget(self, socket: MemoryRouter | MemoryDealer) -> None:
        """Remove a socket that was closed."""
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
