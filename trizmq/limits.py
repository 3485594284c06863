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
    """Counts, bytes and seconds. A call or message over a limit is refused, and counted.

    All but ``wait`` are set in ``[limits]``; `limit_of` checks their bounds. The descriptions
    are those of the reference, as Markdown.
    """

    target_bytes: Annotated[_HeadBytes, Meta(description="414; method and path")] = 2 * KIB
    header_fields: Annotated[int, Meta(ge=8, le=1024, description="431")] = 64
    header_bytes: Annotated[_HeadBytes, Meta(description="431; name and value of one field")] = (
        4 * KIB
    )
    headers_bytes: Annotated[_HeadBytes, Meta(description="431; all fields")] = 16 * KIB
    body_bytes: Annotated[int, Meta(ge=KIB, le=MOST_BODY_BYTES, description="413")] = 16 * MIB
    request_frames: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="400; frames of the body of a call outside the native dialect",
        ),
    ] = 32
    reply_frames: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="502, and the worker is disconnected; frames of the body of an MDP worker's"
            " reply",
        ),
    ] = 64
    client_calls: Annotated[
        _Count,
        Meta(
            description="429; calls in flight on one connection. trizmq's own clients wait instead."
            " An MDP client may have half of `service_calls`"
        ),
    ] = 1024
    client_bytes: Annotated[
        _Bytes,
        Meta(
            description="429; bytes queued for one connection, twice as many in bodies that are"
            " waiting or at workers, or bytes sent to it and not read for a second, in"
            " which case its calls in flight also get a 502. trizmq's own clients send at"
            " most a quarter of it in large calls before the broker has read them"
        ),
    ] = 64 * MIB
    service_calls: Annotated[_Count, Meta(description="503; calls queued for one service")] = 10_000
    service_bytes: Annotated[_Bytes, Meta(description="503; bytes queued for one service")] = (
        64 * MIB
    )
    broker_bytes: Annotated[
        _Bytes,
        Meta(
            description="503; bytes queued for all services, or in bodies that are waiting or at"
            " workers together with data sent to clients and not yet read. A quarter of it"
            " is reserved for responses"
        ),
    ] = 256 * MIB
    worker_bytes: Annotated[
        _Bytes, Meta(description="bytes in bodies at one worker; further calls wait")
    ] = 64 * MIB
    services: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="services of all workers; a worker that would exceed it is refused",
        ),
    ] = 256
    workers: Annotated[
        int,
        Meta(ge=1, le=100_000, description="workers on the backend; further workers are refused"),
    ] = 1024
    max_ttl: Annotated[
        float, Meta(ge=1, le=3600, description="seconds; a later deadline is reduced to this")
    ] = 3600.0
    # At most 2 s: our own peers expect to receive something within 3 s.
    heartbeat: Annotated[
        float, Meta(ge=0.1, le=2, description="seconds between two heartbeats")
    ] = 1.0
    liveness: Annotated[
        int, Meta(ge=2, le=100, description="heartbeats that a worker may miss before it is lost")
    ] = 3
    # The workers of the zguide and of majortomo beat every 2.5 s: three beats may be missed.
    mdp_silence: Annotated[
        float,
        Meta(
            ge=1,
            le=3600,
            description="seconds that an MDP worker may be silent, and a broker towards a trizmq"
            " worker that uses MDP; old peers send a heartbeat every 2.5 s",
        ),
    ] = 7.5
    # Old workers do nothing else while they work.
    busy_silence: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="seconds that an MDP worker may be silent while it has a call, if it has"
            " never sent a heartbeat during one",
        ),
    ] = 60.0
    wait: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="seconds that a call waits for a service that no worker has ever offered,"
            " if there is a backend; then 503",
        ),
    ] = 1.0
    remembered: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="seconds that calls may wait for a service whose last worker has left;"
            " after that, it counts as never offered",
        ),
    ] = 60.0
    retry_after_ms: Annotated[
        int,
        Meta(
            ge=1,
            le=60_000,
            description="the value of `retry-after-ms`; for a call that would have to wait too"
            " long, the expected wait if it is longer",
        ),
    ] = 100

    @property
    def part_bytes(self) -> int:
        """A message of at most this many bytes has no header field and no body over a limit."""
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
        raise ConfigError(f"{where}wait is a separate setting, not one of the limits")
    if name not in LIMITS:
        known = ", ".join(LIMITS)
        hint = did_you_mean(name, LIMITS)
        raise ConfigError(f"{where}unknown limit {name!r}{hint}; known limits: {known}")
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
