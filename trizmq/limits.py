"""All limits of the broker, with their defaults (docs/reference/statuses.md)."""

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

#: The maximum of `Limits.body_bytes`.
MOST_BODY_BYTES: Final = GIB

#: Bytes of an item besides its body, target and headers; most of them for its principal.
REST_OF_ITEM: Final = 30 * KIB

# Only the native dialect supports a path or headers beyond 32 KiB (`wire.head.MAX_HEAD`).
_HeadBytes = Annotated[int, Meta(ge=KIB, le=32 * KIB)]
_Bytes = Annotated[int, Meta(ge=64 * KIB, le=1024 * GIB)]
_Count = Annotated[int, Meta(ge=1, le=10_000_000)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits in counts, bytes and seconds. Anything that exceeds one is refused and counted.

    All of them are settings in ``[limits]``, except ``wait``, which is a separate setting.
    `limits_of` reads them and checks the bounds that are annotated here.
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
    #: Bytes in bodies at one worker; when it is reached, further calls wait.
    worker_bytes: _Bytes = 64 * MIB
    services: Annotated[int, Meta(ge=1, le=100_000)] = 256
    workers: Annotated[int, Meta(ge=1, le=100_000)] = 1024
    max_ttl: Annotated[float, Meta(ge=1, le=3600)] = 3600.0
    #: At most 2 s, because our own peers expect a message within 3 s.
    heartbeat: Annotated[float, Meta(ge=0.1, le=2)] = 1.0
    liveness: Annotated[int, Meta(ge=2, le=100)] = 3
    #: How long an MDP worker may be silent, or a broker towards one of ours: the zguide's and
    #: majortomo's send a heartbeat every 2.5 s, and may miss three of them.
    mdp_silence: Annotated[float, Meta(ge=1, le=3600)] = 7.5
    #: How long a worker may be silent while it has a call, if it has never sent a heartbeat during
    #: one: old workers send nothing while they work.
    busy_silence: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    #: How long calls wait for a service that no worker has ever offered.
    wait: Annotated[float, Meta(ge=0, le=3600)] = 1.0
    #: How long calls may wait for a service whose last worker has left; after that, the service
    #: is forgotten.
    remembered: Annotated[float, Meta(ge=1, le=86_400)] = 60.0
    retry_after_ms: Annotated[int, Meta(ge=1, le=60_000)] = 100

    @property
    def part_bytes(self) -> int:
        """A message of up to this size has no header field or body that exceeds a limit."""
        return min(self.header_bytes, self.headers_bytes, self.body_bytes)

    @property
    def takes(self) -> Takes:
        """The limits in our hello. A peer that observes them never reaches `frame_bytes`."""
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
        """The maximum size of a frame for libzmq, which closes the connection if it is exceeded.

        That ends all calls on the connection, so it is well above `takes`: a body of up to twice
        the limit is read and then refused with a response; and it is enough for a hello that
        arrives before ours has announced the limits.
        """
        return 2 * max(self.body_bytes, MIB) + self._around_body

    @property
    def _around_body(self) -> int:
        # Twice the headers, because a request id may be as long as its header field.
        return self.target_bytes + 2 * self.headers_bytes + REST_OF_ITEM


#: The limits that are settings, by name.
LIMITS: Final = {name: field for name, field in fields_of(Limits).items() if name != "wait"}

_UNITS: Final = {"": 1, "kib": KIB, "mib": MIB, "gib": GIB}
_NUMBER: Final = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)


def limits_of(values: Mapping[str, Any]) -> Limits:
    """Return the defaults with ``values``: numbers, or text such as ``"7.5"`` and ``"32 MiB"``.

    Raises:
      ConfigError: if there is no such limit, or the value is invalid; one line with the reason.

    """
    numbers: dict[str, Any] = {name: limit_of(name, value) for name, value in values.items()}
    return Limits(**numbers)


def limit_of(name: str, value: object, where: str = "limits: ") -> int | float:
    """Return the value of the limit ``name``: a number, or text such as ``"32 MiB"``.

    Args:
      where: the beginning of error messages.

    Raises:
      ConfigError: if there is no such limit, or the value is invalid; one line with the reason.

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
    """Return ``text`` as a number, or unchanged if it is not one."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2].lower() not in _UNITS:
        return text
    number = float(match[1].replace("_", "")) * _UNITS[match[2].lower()]
    return int(number) if number.is_integer() else number
