"""The size of a call, and checks of its parts against the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from .wire.items import Takes, frames_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .calls import Work
    from .limits import Limits
    from .messages import Response
    from .wire.items import Body

__all__ = [
    "MIN_BODY_BYTES",
    "UNBOUNDED",
    "body_size",
    "find_oversize",
    "find_oversize_part",
    "find_oversize_response",
    "narrower",
    "sane",
    "size_of",
    "small_of",
]

#: The minimum of the limit on a body (`limits`): a body of this size exceeds no limit.
MIN_BODY_BYTES: Final = 1024

#: A number larger than any size or count. Compiled code compares it faster than `sys.maxsize`.
UNBOUNDED: Final = 1 << 60

#: The minimum of each limit of a peer, whatever its hello contains.
LEAST: Final = Takes(MIN_BODY_BYTES, 32 * 1024, 1024, 8, 1024, 1024)

#: The overhead of a call beyond its bytes, so that no call is free in a queue bounded in bytes.
OVERHEAD: Final = 512


def size_of(call: Work) -> int:
    """Return approximately how many bytes ``call`` occupies while it waits."""
    fields = sum(_text_size(name) + _text_size(value) for name, value in call.headers.items())
    return OVERHEAD + len(call.method) + _text_size(call.target) + fields + body_size(call)


def find_oversize(call: Work, limits: Limits | Takes) -> tuple[int, str] | None:
    """Check the parts of ``call`` against the limits; return (status, detail), or None."""
    return find_oversize_part(call.method, call.target, call.headers, call.body, limits)


def find_oversize_part(
    method: str, target: str, headers: Mapping[str, str], body: Body, limits: Limits | Takes
) -> tuple[int, str] | None:
    """Check the parts of a request against the limits; return (status, detail), or None."""
    if _text_size(method) + _text_size(target) > limits.target_bytes:
        return 414, f"method and path are longer than {limits.target_bytes} bytes"
    if _bytes_of(body) > limits.body_bytes:
        return 413, f"the body is larger than {limits.body_bytes} bytes"
    detail = _find_oversize_headers(headers, limits)
    return (431, detail) if detail is not None else None


def find_oversize_response(response: Response, sent: int, takes: Takes | Limits) -> str | None:
    """Check a response against the limits of its receiver; return the error, or None.

    ``sent`` is the size of the parts that were sent ahead. They count, because most callers
    join them with the body; if the response is an error, they are discarded.
    """
    size = len(response.body) + (0 if response.is_error else sent)
    if size > takes.body_bytes:
        return f"the response has {size} bytes, and the limit body_bytes is {takes.body_bytes}"
    if not response.headers:
        return None
    return _find_oversize_headers(response.headers, takes)


def narrower(takes: Takes, ours: Takes) -> Takes | None:
    """Return the lower of both sets of limits, or None if it equals ``ours``."""
    if takes == ours:
        return None
    said, known = msgspec.structs.astuple(sane(takes)), msgspec.structs.astuple(ours)
    both = Takes(*map(min, said, known))
    return None if both == ours else both


def sane(takes: Takes) -> Takes:
    """Return the limits that a peer announced, raised to sensible minimums.

    A peer can announce any values, and if they were so low that nothing fits, it could be sent
    nothing.
    """
    return Takes(*map(max, msgspec.structs.astuple(takes), msgspec.structs.astuple(LEAST)))


def _find_oversize_headers(headers: Mapping[str, str], limits: Limits | Takes) -> str | None:
    if len(headers) > limits.header_fields:
        return f"more than {limits.header_fields} header fields"
    most, total = limits.header_bytes, 0
    for name, value in headers.items():
        size = _text_size(name) + _text_size(value)
        if size > most:
            return f"a header field is larger than {most} bytes"
        total += size
    if total > limits.headers_bytes:
        return f"the header fields are larger than {limits.headers_bytes} bytes"
    return None


def small_of(limits: Limits | Takes) -> int:
    """Return a size: a request in which no part is larger exceeds no limit.

    A header field counts as at least 32 bytes, so their number needs no check either.
    """
    return min(limits.target_bytes, limits.part_bytes, 32 * limits.header_fields)


def _text_size(text: str) -> int:
    """Return the size of ``text`` on the wire; a character takes up to four bytes."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def body_size(call: Work) -> int:
    """Return the size of the body of ``call`` in bytes."""
    return _bytes_of(call.body)


def _bytes_of(body: Body) -> int:
    return len(body) if isinstance(body, bytes) else sum(map(len, frames_of(body)))
