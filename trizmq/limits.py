"""Every bound of the broker, with its default (docs/reference/statuses.md)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from .errors import ConfigError
from .fields import did_you_mean, fields_of
from .wire.items import Takes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KIB", "LIMITS", "MIB", "MOST_BODY_BYTES", "Limits", "limit_of", "limits_of"]

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

#: What `Limits.body_bytes` may be at most.
MOST_BODY_BYTES: Final = GIB

#: Bytes of an item besides its body, its target and its headers: above all its principal.
REST_OF_ITEM: Final = 30 * KIB

# Beyond 32 KiB no dialect but ours reads a path or headers (`wire.head.MAX_HEAD`).
_HeadBytes = Annotated[int, Meta(ge=KIB, le=32 * KIB)]
_Bytes = Annotated[int, Meta(ge=64 * KIB, le=1024 * GIB)]
_Count = Annotated[int, Meta(ge=1, le=10_000_000)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts, bytes and seconds. What goes over a bound is refused, and counted.

    Each but ``wait``, which is a setting of its own, is a setting in ``[limits]``: read by
    `limits_of`, which holds it to the bounds that are annotated here.
    """

    target_bytes: _HeadBytes = 2 * KIB
    header_fields: Annotated[int, Meta(ge=8, le=1024)] = 64
    header_bytes: _HeadBytes = 4 * KIB
    headers_bytes: _HeadBytes = 16 * KIB
    body_bytes: Annotated[int, Meta(ge=KIB, le=MOST_BODY_BYTES)] = 16 * MIB
    request_frames: Annotated[int, Meta(ge=1, le=1000)] = 32
    reply_frames: Annotated[int, Meta(ge=1, le=1000)] = 64
    client_calls: _Count = 1024
    client_bytes: _Bytes = 64 * MIB
    service_calls: _Count = 10_000
    service_bytes: _Bytes = 64 * MIB
    broker_bytes: _Bytes = 256 * MIB
    #: Bytes of the bodies that one worker has in hand; over it the next ones wait.
    worker_bytes: _Bytes = 64 * MIB
    services: Annotated[int, Meta(ge=1, le=100_000)] = 256
    workers: Annotated[int, Meta(ge=1, le=100_000)] = 1024
    max_ttl: Annotated[float, Meta(ge=1, le=3600)] = 3600.0
    #: At most 2 s: our own peers expect to hear something within 3 s.
    heartbeat: Annotated[float, Meta(ge=0.1, le=2)] = 1.0
    liveness: Annotated[int, Meta(ge=2, le=100)] = 3
    #: How long an MDP worker may be silent, or a broker to one of ours: those of the zguide and
    #: of majortomo beat every 2.5 s, and three of these may be missed.
    mdp_silence: Annotated[float, Meta(ge=1, le=3600)] = 7.5
    #: How long a worker may be silent that has a call, and was never seen to beat then:
    #: old workers do nothing else while they work.
    busy_silence: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    #: How long calls wait for a service that nobody has ever offered.
    wait: Annotated[float, Meta(ge=0, le=3600)] = 1.0
    #: How long calls may wait for a service whose last worker has left, as if one were to
    #: come: then its name is forgotten.
    remembered: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    retry_after_ms: Annotated[int, Meta(ge=1, le=60_000)] = 100

    @property
    def part_bytes(self) -> int:
        """In a message of so few bytes no header field and no body is over a bound."""
        return min(self.header_bytes, self.headers_bytes, self.body_bytes)

    @property
    def takes(self) -> Takes:
        """What our hello says of them. Whoever heeds it never meets `frame_bytes`."""
        return Takes(
            self.body_bytes,
            self.body_bytes + self._around_body,
            self.target_bytes,
            self.header_fields,
            self.header_bytes,
            self.headers_bytes,
        )

    @property
    def frame_bytes(self) -> int:
        """The most that libzmq takes in one frame: it cuts the connection for more.

        That ends all calls on the connection. Hence the distance from `takes`: a body of up to
        twice the limit is read, so that it can be refused with an answer; and a hello fits
        that comes before ours has told the limits.
        """
        return 2 * max(self.body_bytes, MIB) + self._around_body

    @property
    def _around_body(self) -> int:
        # Twice the headers: a request id may be as long as its header field.
        return self.target_bytes + 2 * self.headers_bytes + REST_OF_ITEM


#: Each limit that is a setting, by its name.
LIMITS: Final = {name: field for name, field in fields_of(Limits).items() if name != "wait"}

_UNITS: Final = {"": 1, "kib": KIB, "mib": MIB, "gib": GIB}
_NUMBER: Final = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)


def limits_of(values: Mapping[str, Any]) -> Limits:
    """Return the defaults but for ``values``: numbers, or text like ``"7.5"`` and ``"32 MiB"``.

    Raises:
      ConfigError: there is no such limit, or it cannot be that; one line that says what can.

    """
    numbers: dict[str, Any] = {name: limit_of(name, value) for name, value in values.items()}
    return Limits(**numbers)


def limit_of(name: str, value: object, where: str = "limits: ") -> int | float:
    """Return the value of the limit ``name``: a number, or text like ``"32 MiB"``.

    Args:
      where: what the message of an error begins with.

    Raises:
      ConfigError: there is no such limit, or it cannot be that; one line that says what can.

    """
    if name == "wait":
        raise ConfigError(f"{where}wait is a setting of its own, not one of the limits")
    if name not in LIMITS:
        known = ", ".join(LIMITS)
        hint = did_you_mean(name, LIMITS)
        raise ConfigError(f"{where}no limit is called {name!r}{hint}; there are {known}")
    number = _number(value) if isinstance(value, str) else value
    try:
        return LIMITS[name].check(number)  # type: ignore[no-any-return]
    except ValueError as error:
        raise ConfigError(f"{where}{name} {error}") from None


def _number(text: str) -> object:
    """Return the number that ``text`` is, or ``text`` if it is none."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2].lower() not in _UNITS:
        return text
    number = float(match[1].replace("_", "")) * _UNITS[match[2].lower()]
    return int(number) if number.is_integer() else number
