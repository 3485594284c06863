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

    def send_nowait(self, peer: bytes, frames: Sequence[bytes]) -> None:
        """Send one message. Call `settle` after the last of a group.

        Raises:
          trio.WouldBlock: if the peer reads too slowly: its high-water mark is reached.
          PeerGone: if the peer is not connected (any more).

        """


class Dealer(_Socket, Protocol):
    """The other end: connected to one router."""

    def receive_nowait(self) -> list[bytes] | None:
        """Take one message, or None if there is none now."""

    def send_nowait(self, frames: Sequence[bytes]) -> None:
        """Send one message, also while nobody is there yet. Call `settle` after the last.

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

    def connect(self, endpoint: str) -> Dealer:
        """Open a dealer to ``endpoint``, whether or not anybody is there.

        Raises:
          ConfigError: if ``endpoint`` is not an endpoint.

        """

    async def aclose(self) -> None:
        """Close everything; waits a bounded time for what sockets still linger over."""
