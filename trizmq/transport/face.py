"""What the drivers need of a transport: two sockets, alike over ZeroMQ and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Dealer", "PeerGone", "Router", "Transport"]


class PeerGone(Exception):  # noqa: N818 (the cause is the name)
    """The peer that was addressed is no longer connected."""


class _Socket(Protocol):
    # One task waits and receives; any task may send. Nothing but `wait_readable` waits,
    # so nothing else can be cancelled half-way: a message has passed, or it has not.

    async def wait_readable(self, *, or_writable: bool = False) -> None:
        """Sleep until there may be something to receive (or room to send). May be wrong.

        A checkpoint. To be called after a receive returned None, by one task only.

        Raises:
          trio.ClosedResourceError: if the socket is closed, before or meanwhile.

        """

    def settle(self) -> None:
        """End a group of sends: what they may have hidden from the reader wakes it."""

    def close(self, linger: float = 0) -> None:
        """Close now; ``linger`` seconds are left for what is unsent. Safe to repeat."""


class Router(_Socket, Protocol):
    """One end of many: each message comes from a peer, and goes to one."""

    @property
    def endpoint(self) -> str:
        """Where it is bound, ports that the system chose filled in."""

    def receive_nowait(self) -> tuple[bytes, list[bytes]] | None:
        """Take one message: (peer, frames), or None if there is none now."""

    def bound_unsent(self, each: int, together: int) -> None:
        """Set how many bytes may wait here for a peer that does not read, and for all peers."""

    @property
    def crowded(self) -> set[bytes]:
        """Peers that do not read, and are half-way to the bound; see `unsent`."""

    def unsent(self, peer: bytes) -> int:
        """Return about how many bytes wait for ``peer``; `crowded` is right about it then."""

    def send_nowait(self, peer: bytes, frames: Sequence[bytes], *, beyond: bool = False) -> None:
        """Send one message. Call `settle` after the last of a group.

        ``beyond`` the bound on bytes some messages may go that say that it is reached.

        Raises:
          trio.WouldBlock: if the peer reads too slowly: a bound on what waits is reached.
          PeerGone: if the peer is not connected (any more).

        """

    def watch(self, peer: bytes) -> None:
        """Let `wait_gone` report ``peer``, from which the last message has come."""

    async def wait_gone(self) -> list[bytes]:
        """Sleep until peers that are watched are no longer connected; return these.

        By one task only. Some are missed: to these a send raises `PeerGone`.
        """


class Dealer(_Socket, Protocol):
    """The other end, for as long as one connection to one router lasts.

    A connection that has ended, or was never made, does not come back: open another dealer. So
    nothing that is sent here can reach the router's successor. What had come can still be read.
    """

    async def wait_connected(self) -> bool:
        """Sleep until the router is there, True; or it is certain that it is not, False."""

    async def wait_lost(self) -> None:
        """Sleep until the connection has ended, or this is closed. A checkpoint."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended, as far as is known at this moment."""

    @property
    def is_ending(self) -> bool:
        """Whether the other end sends no more; what it has sent may not have come yet."""

    def receive_nowait(self) -> list[bytes] | None:
        """Take one message, or None if there is none now."""

    def send_nowait(self, frames: Sequence[bytes]) -> None:
        """Send one message, also while it is not connected yet. Call `settle` after the last.

        Raises:
          trio.WouldBlock: if the high-water mark is reached.

        """


class Transport(Protocol):
    """Where sockets come from. Closing it closes what it made."""

    def bind(self, endpoint: str) -> Router:
        """Open a router at ``endpoint``, or at several, separated by commas.

        Raises:
          ConfigError: if the endpoint cannot be bound; one line that says why.

        """

    def check(self, endpoint: str) -> None:
        """Check that one can connect to ``endpoint``, now or later.

        Raises:
          ConfigError: if ``endpoint`` is not an endpoint.

        """

    async def find(self, endpoint: str) -> list[str]:
        """Return the addresses of ``endpoint``, the best first; none if its name is unknown."""

    async def is_refused(self, address: str) -> bool:
        """Tell whether it is certain that no router is bound at ``address``."""

    def connect(self, address: str, *, beats: bool = False) -> Dealer:
        """Open a dealer to ``address``, whether or not a router is there.

        Args:
          address: one that `find` has returned.
          beats: let the transport itself look whether the other end is there, every half
            second. Only where that is ours: others take this for a message, or hang up.

        Raises:
          ConfigError: if ``address`` is not an endpoint.
          OSError: if there are too few file descriptors left.

        """

    async def aclose(self) -> None:
        """Close everything; waits a bounded time for what sockets still linger over."""
