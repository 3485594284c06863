"""When heartbeats are due, and what counts as silence."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from trizmq.pulse import HEARTBEAT, Pulse, is_silent


@dataclass
class Record:
    heard_at: float = 0.0
    spoken_to: bool = False


def test_a_beat_is_due_once_in_an_interval() -> None:
    pulse = Pulse(5.0, 2.0)
    times = [5.0, 6.9, 7.0, 7.1, 8.9, 9.0, 11.0]
    assert [time for time in times if pulse.beats(time)] == [7.0, 9.0, 11.0]
    assert pulse.next_beat == 13.0
    assert Pulse(0.0).next_beat == HEARTBEAT


def test_a_peer_to_which_anything_was_sent_needs_no_heartbeat() -> None:
    pulse, peer = Pulse(0.0), Record(spoken_to=True)
    assert pulse.beats(1.0)
    assert not pulse.renew(peer)
    assert pulse.beats(2.0)
    assert pulse.renew(peer)


def test_time_in_which_we_did_not_listen_is_no_silence_of_the_peer() -> None:
    pulse, peer = Pulse(0.0), Record(heard_at=0.5)
    assert pulse.beats(61.0)
    pulse.renew(peer)
    assert peer.heard_at == 60.5
    assert not is_silent(peer, 61.0, 0.5)
    assert is_silent(peer, 61.1, 0.5)


def test_a_pulse_that_was_stopped_starts_anew() -> None:
    pulse = Pulse(0.0)
    pulse.stop()
    assert (pulse.next_beat, pulse.beats(100.0)) == (inf, False)
    pulse.start(100.0)
    pulse.start(100.5)
    assert pulse.next_beat == 101.0
    assert pulse.beats(101.0)
