"""Every bound of the broker, with its default (docs/reference/statuses.md)."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["KIB", "MIB", "Limits"]

KIB: Final = 1024
MIB: Final = 1024 * KIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Counts, bytes and seconds. What goes over a bound is refused, and counted."""

    target_bytes: int = 2 * KIB
    header_fields: int = 64
    header_bytes: int = 4 * KIB
    headers_bytes: int = 16 * KIB
    body_bytes: int = 16 * MIB
    client_calls: int = 1024
    client_bytes: int = 64 * MIB
    service_calls: int = 10_000
    service_bytes: int = 64 * MIB
    broker_bytes: int = 256 * MIB
    services: int = 256
    workers: int = 1024
    max_ttl: float = 3600.0
    heartbeat: float = 1.0
    liveness: int = 3
    #: How long an MDP worker may be silent: those of the zguide and of majortomo beat every
    #: 2.5 s, and a second later if something wakes them in between.
    mdp_silence: float = 5.0
    #: How long a worker may be silent that has a call, and was never seen to beat then:
    #: old workers do nothing else while they work.
    busy_silence: float = 60.0
    #: How long calls wait for a service that nobody has ever offered.
    wait: float = 1.0
    retry_after_ms: int = 100

    @property
    def part_bytes(self) -> int:
        """In a message of so few bytes no header field and no body is over a bound."""
        return min(self.header_bytes, self.headers_bytes, self.body_bytes)

    @property
    def frame_bytes(self) -> int:
        """The most that one frame may hold: a body, and what goes around it."""
        return self.body_bytes + 64 * KIB
