"""How the broker and its workers know that the other lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..wire import mdp
from ..wire.items import Heartbeat
from ..wire.mdp import MDP
from .workers import NATIVE

if TYPE_CHECKING:
    from ..limits import Limits
    from .outbox import Outbox
    from .workers import Worker

__all__ = ["beat", "needs_beat", "patience"]


def patience(worker: Worker, limits: Limits) -> float:
    """Return how long ``worker`` may be silent now."""
    # Old MDP workers are silent while they work. They are judged by the heartbeats that
    # they were seen to send while busy, else by a longer time. (That their connection has
    # ended is noticed at once.)
    usual = limits.heartbeat * limits.liveness
    if worker.dialect == NATIVE:
        return usual
    if worker.busy and not worker.beats_while_busy:
        return limits.busy_silence
    return max(usual, limits.mdp_silence)


def needs_beat(worker: Worker) -> bool:
    """Tell whether a heartbeat is to be sent that is due."""
    # Some MDP workers count HEARTBEAT commands, and nothing else (nodejs-mdp02, C majordomo):
    # so these go out regardless, though both RFCs say SHOULD NOT.
    return worker.dialect != NATIVE or not worker.was_told


def beat(address: bytes, worker: Worker, outbox: Outbox) -> None:
    """Send a heartbeat."""
    if worker.dialect == NATIVE:
        outbox.assign(address, Heartbeat())
    else:
        frames = MDP[worker.dialect].encode_worker(mdp.Heartbeat())
        outbox.worker_messages.append((address, frames))
