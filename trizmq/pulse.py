"""Heartbeats, and the silence of peers: the same rules for the client, the worker and the broker.

An engine has one `Pulse`, and each record of a peer has the two attributes of `Peer`. A message
costs no more than setting one of them: ``peer.heard_at = now`` when it is received,
``peer.spoken_to = True`` when it is sent. Once in an interval the engine's ``tick`` does this::

    if pulse.beats(now):
        for peer in peers:
            was_quiet = pulse.renew(peer)
            if is_silent(peer, now, patience):
                ...  # the peer is lost
            elif was_quiet:
                ...  # send a heartbeat

Its ``next_tick`` is `Pulse.next_beat` at the latest. An engine whose peers come and go may `stop`
the pulse with the last one, and `start` it with the first.
"""

from __future__ import annotations

from math import inf
from typing import Final, Protocol, final

__all__ = ["HEARTBEAT", "Peer", "Pulse", "is_silent"]

#: Seconds between heartbeats (docs/reference/statuses.md).
HEARTBEAT: Final = 1.0


class Peer(Protocol):
    """The attributes of a peer's record.

    Attributes:
      heard_at: the time of the last message from it, of any kind.
      spoken_to: whether anything was sent to it since the last beat.

    """

    heard_at: float
    spoken_to: bool


@final
class Pulse:
    """Determines when heartbeats are due; ``interval`` is the time from one to the next."""

    def __init__(self, now: float, interval: float = HEARTBEAT) -> None:
        #: The latest time to call `beats`.
        self.next_beat = now + interval
        self._interval = interval
        self._late = 0.0

    def beats(self, now: float) -> bool:
        """Return whether a beat is due. If so, call `renew` for each peer."""
        if now < self.next_beat:
            return False
        self._late = now - self.next_beat
        self.next_beat = now + self._interval
        return True

    def renew(self, peer: Peer) -> bool:
        """Begin a peer's next interval; return whether nothing was sent to it in the last one."""
        # If this call is late, we received nothing meanwhile; do not count that as silence.
        peer.heard_at += self._late
        was_quiet = not peer.spoken_to
        peer.spoken_to = False
        return was_quiet

    def start(self, now: float) -> None:
        """Begin the first interval, unless one has begun."""
        if self.next_beat == inf:
            self.next_beat = now + self._interval

    def stop(self) -> None:
        """Send no more heartbeats, until `start`."""
        self.next_beat = inf


def is_silent(peer: Peer, now: float, patience: float) -> bool:
    """Return whether no message has come from a peer for more than ``patience`` seconds."""
    return now - peer.heard_at > patience
