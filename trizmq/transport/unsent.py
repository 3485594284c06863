"""The data sent to each peer that has not left this process yet."""

from __future__ import annotations

import sys
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, final

import zmq

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Unsent"]

#: The bytes sent to one peer after which a frame is marked. Up to as many per peer are not counted.
MARK_EVERY: Final = 1024 * 1024

#: The bytes by which messages that explain why no others are sent may exceed a bound.
GRACE: Final = 4 * MARK_EVERY

#: The seconds without reading anything after which a peer counts as not reading.
STALLED: Final = 1.0

#: The number of peers to remember even though none of their data is outstanding.
MANY: Final = 4096


@final
class _Account:
    def __init__(self) -> None:
        self.unmarked = 0
        self.bytes = 0
        self.marks: deque[tuple[Any, int, float]] = deque()


@final
class Unsent:
    """Counts bytes per peer, because libzmq counts messages and reports neither.

    Theory of operation. libzmq sends the messages of a peer in order, and reports when it
    releases the memory of a frame that it was given without a copy. One frame per megabyte is
    therefore sent that way and *marked*: once it has gone, everything before it has gone too. A
    peer with outstanding marks is *behind*. For all other peers, only the distance to their
    next mark is counted.

    There is a bound for all peers together, and each peer may be behind by half of what the
    others leave of it: the more peers are behind, the less each of them may be. A peer that
    reads soon catches up, however large its responses are. A peer that has read nothing for a
    second has *stalled*, and has its own bound.
    """

    def __init__(self) -> None:
        #: Peers that were behind by half of their bound at their last message.
        self.crowded: set[bytes] = set()
        self.stalled_after = STALLED
        self._each = self._all = sys.maxsize
        self._beside: Callable[[], int] = int
        self._accounts: dict[bytes, _Account] = {}
        self._behind: dict[bytes, _Account] = {}

    def bound(self, each: int, together: int, beside: Callable[[], int]) -> None:
        """Set how many bytes a stalled peer, and all peers together, may be behind.

        The result of ``beside`` is subtracted from the bound of all peers.
        """
        self._each, self._all, self._beside = each, together, beside

    def admits(self, peer: bytes, size: int, *, beyond: bool) -> bool:
        """Return whether ``size`` bytes may be sent to ``peer``, and count them if so."""
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
        most = max(0, self._all - self._beside() - self.total + account.bytes) // 2
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

    @property
    def total(self) -> int:
        """The number of bytes that all peers are behind now."""
        for peer in list(self._behind):
            self.settle(peer)
        return sum(account.bytes for account in self._behind.values())

    def is_due(self, peer: bytes) -> bool:
        """Return whether the last frame of this message should be marked."""
        return self._accounts[peer].unmarked >= MARK_EVERY

    def mark(self, peer: bytes, send: Callable[[zmq.Frame], object], data: bytes) -> None:
        """Send ``data`` as a frame that reports when it has gone."""
        # Do not keep the frame itself: it would keep the memory alive.
        frame = zmq.Frame(data, track=True, copy=False, copy_threshold=0)
        tracker = frame.tracker
        send(frame)
        account = self._accounts[peer]
        account.marks.append((tracker, account.unmarked, monotonic()))
        account.bytes += account.unmarked
        account.unmarked = 0
        self._behind[peer] = account

    def settle(self, peer: bytes) -> int:
        """Return the number of bytes that ``peer`` is behind now."""
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
