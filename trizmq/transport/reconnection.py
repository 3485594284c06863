"""A connection to an endpoint that is made again when it has ended, after a pause."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final, Protocol, final

import trio

from .endpoints import is_local

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .face import Dealer, Transport

__all__ = ["Line", "Lines", "Talk", "open_dealer"]


LOGGER = logging.getLogger("trizmq.connection")

#: Seconds before a failed attempt is repeated. They double each time, up to one of the other two:
#: for an endpoint on this machine, where attempts cost nothing, and for another machine.
FIRST_PAUSE: Final = 0.1

LOCAL_PAUSE: Final = 0.2

LONGEST_PAUSE: Final = 2.0

#: The maximum pause for a server that refuses us, by ending each connection immediately.
SENT_AWAY_PAUSE: Final = 1.0

#: Seconds: a connection that ends sooner counts as a failed attempt.
STEADY: Final = 1.0

#: The maximum duration of an attempt, in seconds. Transports have shorter limits of their own.
ATTEMPT: Final = 5.0


class Talk(Protocol):
    """The user of a line. No method may raise an exception."""

    @property
    def has_unsent(self) -> bool:
        """Whether messages are waiting for room in the socket."""

    def connected(self) -> None:
        """Handle a new connection, on which no message has been sent yet."""

    def read(self, dealer: Dealer) -> bool:
        """Read received messages; return whether there may be more."""

    def ending(self) -> None:
        """Handle the closing of the connection by the server: sent messages are lost."""

    def lost(self) -> None:
        """Handle the end of the connection; everything received on it has been read."""

    def missed(self) -> bool:
        """Handle a failed attempt; return whether to check if the failure is final."""

    def refused(self) -> None:
        """Handle the absence of a server at the endpoint: the previous one has ended."""


@final
class Line:
    """Keeps a connection to ``endpoint`` for ``talk``.

    Each connection has a new socket, so that no message reaches the successor of the server
    that it was sent to, and the name is looked up again each time.

    Args:
      beats: whether the other end is trizmq: see `face.Transport.connect`.

    """

    def __init__(self, transport: Transport, endpoint: str, talk: Talk, *, beats: bool) -> None:
        transport.check(endpoint)
        self.dealer: Dealer | None = None
        self._transport = transport
        self._endpoint = endpoint
        self._talk = talk
        self._beats = beats
        self._scope = trio.CancelScope()
        self._is_warned = False
        self._longest_pause = LOCAL_PAUSE if is_local(endpoint) else LONGEST_PAUSE

    async def run(self) -> None:
        """Connect again and again until cancelled or closed; `close` closes the last socket."""
        with self._scope:
            await self._run()

    async def _run(self) -> None:
        failures = 0
        while True:
            began = trio.current_time()
            was_connected = await self._connect()
            lasted = trio.current_time() - began
            if was_connected and lasted > STEADY:
                failures = 0
                continue
            failures += 1
            longest = SENT_AWAY_PAUSE if was_connected else self._longest_pause
            pause = min(longest, FIRST_PAUSE * 2.0 ** min(failures - 1, 10))
            jitter = random.uniform(0.8, 1.2)  # noqa: S311 (no secret)
            await trio.sleep(max(0.0, pause * jitter - lasted))

    def look(self) -> None:
        """Detect the end of the connection now, rather than in the next pass."""
        dealer = self.dealer
        if dealer is None:
            return
        if dealer.is_lost:
            self._end(dealer)
        elif dealer.is_ending:
            self._talk.ending()

    def reset(self) -> None:
        """End the connection, if there is one, without a message; the next one follows."""
        if self.dealer is not None:
            dealer, self.dealer = self.dealer, None
            dealer.close()

    def close(self, linger: float = 0) -> None:
        """End `run`, and close its socket; ``linger`` is the same as for a `face.Dealer`."""
        self._scope.cancel()
        if self.dealer is not None:
            dealer, self.dealer = self.dealer, None
            dealer.close(linger)

    async def _connect(self) -> bool:
        """Try each address; return True after a connection has ended, False if none was made."""
        addresses = await self._transport.find(self._endpoint)
        try:
            dealer = await _connect(self._transport, addresses, beats=self._beats)
        except OSError as error:  # no descriptors are left; there may be some later
            self._warn(error)
            return False
        if self._scope.cancel_called:
            if dealer is not None:
                dealer.close()
            return False
        if dealer is not None:
            self._is_warned = False
            await self._hold(dealer)
            return True
        if self._talk.missed() and addresses:
            refused = [await self._transport.is_refused(address) for address in addresses]
            if all(refused):
                self._talk.refused()
        return False

    def _warn(self, error: OSError) -> None:
        if not self._is_warned:  # only once, not for each attempt
            self._is_warned = True
            LOGGER.warning("cannot connect to %s, trying again: %s", self._endpoint, error)

    async def _hold(self, dealer: Dealer) -> None:
        self.dealer = dealer
        self._talk.connected()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, dealer)
            await dealer.wait_lost()
            nursery.cancel_scope.cancel()
        self._end(dealer)
        dealer.close()

    async def _read(self, dealer: Dealer) -> None:
        try:
            while self.dealer is dealer:
                self._talk.read(dealer)
                await dealer.wait_readable(or_writable=self._talk.has_unsent)
        except trio.ClosedResourceError:
            if self.dealer is dealer:
                raise

    def _end(self, dealer: Dealer) -> None:
        while self.dealer is dealer and self._talk.read(dealer):
            pass
        if self.dealer is dealer:  # reading may have ended it already
            self.dealer = None
            self._talk.lost()


@final
class Lines:
    """Runs lines, as many as are added, at any time. Each ends when it is closed."""

    def __init__(self) -> None:
        self._new: list[Line] = []
        self._has_new = trio.Event()

    def add(self, line: Line) -> None:
        """Run ``line`` too."""
        self._new.append(line)
        self._has_new.set()

    async def run(self) -> None:
        """Run lines until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._has_new.wait()
                self._has_new = trio.Event()
                new, self._new = self._new, []
                for line in new:
                    nursery.start_soon(line.run)


async def open_dealer(transport: Transport, endpoint: str, *, beats: bool) -> Dealer:
    """Return a dealer that is connected to ``endpoint``; if there is no server, wait for one."""
    transport.check(endpoint)
    while True:
        dealer = await _connect(transport, await transport.find(endpoint), beats=beats)
        if dealer is not None:
            return dealer
        await trio.sleep(FIRST_PAUSE)


async def _connect(transport: Transport, addresses: Sequence[str], *, beats: bool) -> Dealer | None:
    """Return a dealer that is connected to the first address that responds."""
    for address in addresses:
        dealer = transport.connect(address, beats=beats)
        is_connected = False
        try:
            with trio.move_on_after(ATTEMPT):
                is_connected = await dealer.wait_connected()
        finally:
            if not is_connected:
                dealer.close()
        if is_connected:
            return dealer
    return None
