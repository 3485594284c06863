"""How much of what was sent to each peer has not left this process."""

from __future__ import annotations

import sys
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, final

import zmq

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Unsent"]

#: After so many bytes to one peer a frame is marked. So much is not counted of each peer.
MARK_EVERY: Final = 1024 * 1024

#: So many bytes may go beyond a bound: they say why no other does.
GRACE: Final = 4 * MARK_EVERY

#: A peer that has read nothing for so many seconds does not read.
STALLED: Final = 1.0

#: Peers that are remembered though nothing is outstanding.
MANY: Final = 4096


@final
class _Account:
    def __init__(self) -> None:
        self.unmarked = 0
        self.bytes = 0
        self.marks: deque[tuple[Any, int, float]] = deque()


@final
class Unsent:
    """Counts bytes per peer, for libzmq counts messages, and says nothing of either.

    Theory of operation. libzmq sends the messages of a peer in their order, and tells when it
    lets go of the memory of a frame that it was given without a copy. So one frame in a
    megabyte is given so, and *marked*: once it has gone, everything before it has. A peer with
    marks that have not gone is *behind*. All that is counted of the others is how far it is to
    their next mark.

    All peers together may be behind by a bound, and each by half of what the others leave of
    it: so the more are behind, the less each may be. A peer that reads, however large its
    responses are, soon catches up. One that has read nothing for a second has *stalled*, and
    has a bound of its own.
    """

    def __init__(self) -> None:
        #: Peers that are behind by half of what they may, as of their last message.
        self.crowded: set[bytes] = set()
        self.stalled_after = STALLED
        self._each = self._all = sys.maxsize
        self._accounts: dict[bytes, _Account] = {}
        self._behind: dict[bytes, _Account] = {}

    def bound(self, each: int, together: int) -> None:
        """Set how many bytes a stalled peer, and all peers, may be behind."""
        self._each, self._all = each, together

    def admits(self, peer: bytes, size: int, *, beyond: bool) -> bool:
        """Tell whether a message of ``size`` bytes may be sent to ``peer``; count it if so."""
        account = self._accounts.get(peer)
        if account is None:
            account = self._open(peer)
        if account.marks and not self._has_room(peer, account, size, beyond=beyond):
            return False
        account.unmarked += size
        return True

    def _has_room(self, peer: bytes, account: _Account, size: int, *, beyond: bool) -> bool:
        if not self.settle(peer):
            return True
        most = max(0, self._all - self._total() + account.bytes) // 2
        behind = account.bytes + account.unmarked + size
        if beyond:
            return behind <= most + GRACE
        if self._has_stalled(account):
            most = min(self._each, most)
            if 2 * account.bytes > most:
                self.crowded.add(peer)
        return behind <= most

    def _has_stalled(self, account: _Account) -> bool:
        return monotonic() - account.marks[0][2] > self.stalled_after

    def _total(self) -> int:
        for peer in list(self._behind):
            self.settle(peer)
        return sum(account.bytes for account in self._behind.values())

    def is_due(self, peer: bytes) -> bool:
        """Tell whether the last frame of this message is to be marked."""
        return self._accounts[peer].unmarked >= MARK_EVERY

    def mark(self, peer: bytes, send: Callable[[zmq.Frame], object], data: bytes) -> None:
        """Send ``data`` as a frame that tells when it has gone."""
        # Without this frame being kept: it would hold the memory, too.
        frame = zmq.Frame(data, track=True, copy=False, copy_threshold=0)
        tracker = frame.tracker
        send(frame)
        account = self._accounts[peer]
        account.marks.append((tracker, account.unmarked, monotonic()))
        account.bytes += account.unmarked
        account.unmarked = 0
        self._behind[peer] = account

    def settle(self, peer: bytes) -> int:
        """Return how many bytes ``peer`` is behind now."""
        account = self._behind.get(peer)
        if account is None:
            self.crowded.discard(peer)
            return 0
        while account.marks and account.marks[0][0].done:
            account.bytes -= account.marks.popleft()[1]
        if not account.marks:
            del self._behind[peer]
        if not account.marks or not self._has_stalled(account):
            self.crowded.discard(peer)
        return account.bytes

    def _open(self, peer: bytes) -> _Account:
        if len(self._accounts) > MANY + 2 * len(self._behind):
            self._accounts = dict(self._behind)
        account = self._accounts[peer] = _Account()
        return account
