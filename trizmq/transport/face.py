"""The interface of a transport: two kinds of sockets, over ZeroMQ or in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Dealer", "PeerGone", "Router", "Transport"]


class PeerGone(Exception):  # noqa: N818 (the cause is the name)
    """The addressed peer is no longer connected."""


class _Socket(Protocol):
    # One task waits and receives; any task may send. Only `wait_readable` blocks, so no other
    # method can be cancelled half-way: a message has been sent, or it has not.

    async def wait_readable(self, *, or_writable: bool = False) -> None:
        """Sleep until there may be a message to receive (or room to send). May be spurious.

        A checkpoint. Call it from one task only, after a receive has returned None.

        Raises:
          trio.ClosedResourceError: if the socket is closed, before or during the call.

        """

    def settle(self) -> None:
        """End a group of sends, and wake the reader if they may have hidden a message from it."""

    def close(self, linger: float = 0) -> None:
        """Close now; unsent messages have ``linger`` seconds. Safe to repeat."""


class Router(_Socket, Protocol):
    """A socket with many peers: each message comes from one peer or goes to one peer."""

    @property
    def endpoint(self) -> str:
        """The bound endpoint, including ports that the system chose."""

    def receive_nowait(self) -> tuple[bytes, list[bytes]] | None:
        """Return one message as (peer, frames), or None if there is none now."""

    def bound_unsent(self, each: int, together: int, beside: Callable[[], int] = int) -> None:
        """Limit the bytes that may wait for a peer that does not read, and for all peers.

        ``beside`` returns how many bytes of the limit for all peers are in use elsewhere.
        """

    @property
    def unsent_bytes(self) -> int:
        """The approximate number of bytes that wait for all peers."""

    @property
    def crowded(self) -> set[bytes]:
        """Peers that do not read and have reached half of their bound; see `unsent`."""

    def unsent(self, peer: bytes) -> int:
        """Return approximately how many bytes wait for ``peer``, and update `crowded` for it."""

    def send_nowait(self, peer: bytes, frames: Sequence[bytes], *, beyond: bool = False) -> None:
        """Send one message. Call `settle` after the last one of a group.

        With ``beyond``, the message may exceed the bound on bytes, to report that it is reached.

        Raises:
          trio.WouldBlock: if the peer reads too slowly, and its bound is reached.
          PeerGone: if the peer is not, or no longer, connected.

        """

    def watch(self, peer: bytes) -> None:
        """Let `wait_gone` report ``peer``, the sender of the last received message."""

    def disconnect(self, is_stranger: Callable[[bytes], bool]) -> None:
        """Disconnect watched peers that are strangers and have not read all messages to them.

        This frees the memory of these messages.
        """

    async def wait_gone(self) -> list[bytes]:
        """Sleep until watched peers have disconnected, and return them.

        Call it from one task only. It may miss some peers; sending to them raises `PeerGone`.
        """


class Dealer(_Socket, Protocol):
    """A socket for one connection to one router.

    A connection that has ended, or was never established, does not return: open another
    dealer. This ensures that no message reaches a successor of the router. Messages that had
    arrived can still be read.
    """

    async def wait_connected(self) -> bool:
        """Sleep until the connection is established (True) or has definitely failed (False)."""

    async def wait_lost(self) -> None:
        """Sleep until the connection has ended, or the socket is closed. A checkpoint."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection is known to have ended."""

    @property
    def is_ending(self) -> bool:
        """Whether the other end has stopped sending; some of its messages may still be unread."""

    def receive_nowait(self) -> list[bytes] | None:
        """Return one message, or None if there is none now."""

    def send_nowait(self, frames: Sequence[bytes]) -> None:
        """Send one message, even before the connection is established. Call `settle` at the end.

        Raises:
          trio.WouldBlock: if the high-water mark is reached.

        """


class Transport(Protocol):
    """Creates sockets. Closing it closes all of them."""

    def bind(self, endpoint: str) -> Router:
        """Open a router at ``endpoint``, or at several endpoints separated by commas.

        Raises:
          ConfigError: if the endpoint cannot be bound; one line with the reason.

        """

    def check(self, endpoint: str) -> None:
        """Check that ``endpoint`` is valid for connecting, now or later.

        Raises:
          ConfigError: if it is not.

        """

    async def find(self, endpoint: str) -> list[str]:
        """Return the addresses of ``endpoint``, best first; empty if its name is unknown."""

    async def is_refused(self, address: str) -> bool:
        """Return whether there is certainly no router at ``address``."""

    def connect(self, address: str, *, beats: bool = False) -> Dealer:
        """Open a dealer to ``address``, whether or not there is a router.

        Args:
          address: a result of `find`.
          beats: let the transport itself check the other end every half second. Use it only
            if the other end is trizmq: others treat this as a message, or disconnect.

        Raises:
          ConfigError: if ``address`` is not an endpoint.
          OSError: if there are too few file descriptors left.

        """

    async def aclose(self) -> None:
        """Close everything; waits a limited time for lingering sockets."""
