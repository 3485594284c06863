"""The size of a call, and whether it is over a limit."""

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
    "body_size",
    "find_oversize",
    "find_oversize_part",
    "find_oversize_response",
    "narrower",
    "sane",
    "size_of",
    "small_of",
]


#: No limit on a body is less (`engine.limits`): one that is no larger is over none.
MIN_BODY_BYTES: Final = 1024


#: What every peer takes, whatever it says.
LEAST: Final = Takes(MIN_BODY_BYTES, 32 * 1024, 1024, 8, 1024, 1024)


#: What a call costs beside its bytes; no call is free in a queue bounded in bytes.
OVERHEAD: Final = 512


def size_of(call: Work) -> int:
    """Return about how many bytes ``call`` keeps while it waits."""
    fields = sum(_text_size(name) + _text_size(value) for name, value in call.headers.items())
    return OVERHEAD + len(call.method) + _text_size(call.target) + fields + body_size(call)


def find_oversize(call: Work, limits: Limits | Takes) -> tuple[int, str] | None:
    """Hold ``call`` against the limits on its parts; return (status, detail), or None."""
    return find_oversize_part(call.method, call.target, call.headers, call.body, limits)


def find_oversize_part(
    method: str, target: str, headers: Mapping[str, str], body: Body, limits: Limits | Takes
) -> tuple[int, str] | None:
    """Hold the parts of a request against their limits; return (status, detail), or None."""
    if _text_size(method) + _text_size(target) > limits.target_bytes:
        return 414, f"method and path are longer than {limits.target_bytes} bytes"
    if sum(map(len, frames_of(body))) > limits.body_bytes:
        return 413, f"the body is larger than {limits.body_bytes} bytes"
    detail = _find_oversize_headers(headers, limits)
    return (431, detail) if detail is not None else None


def find_oversize_response(response: Response, sent: int, takes: Takes | Limits) -> str | None:
    """Hold a response against what its receiver takes; return what is wrong, or None.

    ``sent``: bytes of its parts that went ahead. They count, because most callers gather them,
    but in front of an error nothing is kept.
    """
    size = len(response.body) + (0 if response.is_error else sent)
    if size > takes.body_bytes:
        return f"the response has {size} bytes, and the limit body_bytes is {takes.body_bytes}"
    if not response.headers:
        return None
    return _find_oversize_headers(response.headers, takes)


def narrower(takes: Takes, ours: Takes) -> Takes | None:
    """Return what a peer takes where that is less than what we do; None if it nowhere is."""
    if takes == ours:
        return None
    said, known = msgspec.structs.astuple(sane(takes)), msgspec.structs.astuple(ours)
    both = Takes(*map(min, said, known))
    return None if both == ours else both


def sane(takes: Takes) -> Takes:
    """Return what a peer says that it takes, or the least that it can mean.

    It may say anything, and if that were so little that nothing fits, it could be sent nothing.
    """
    return Takes(*map(max, msgspec.structs.astuple(takes), msgspec.structs.astuple(LEAST)))


def _find_oversize_headers(headers: Mapping[str, str], limits: Limits | Takes) -> str | None:
    sizes = [_text_size(name) + _text_size(value) for name, value in headers.items()]
    if len(sizes) > limits.header_fields:
        return f"more than {limits.header_fields} header fields"
    if max(sizes, default=0) > limits.header_bytes:
        return f"a header field is larger than {limits.header_bytes} bytes"
    if sum(sizes) > limits.headers_bytes:
        return f"the header fields are larger than {limits.headers_bytes} bytes"
    return None


def small_of(limits: Limits | Takes) -> int:
    """Return a number of bytes: a request none of whose parts has more is over no limit.

    A header field counts as 32 bytes at least, so that their number needs no look either.
    """
    return min(limits.target_bytes, limits.part_bytes, 32 * limits.header_fields)


def _text_size(text: str) -> int:
    """Return the bytes of ``text`` on the wire; up to four for a character."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def body_size(call: Work) -> int:
    """Return the bytes of the body of ``call``."""
    body = call.body
    return len(body) if isinstance(body, bytes) else sum(map(len, frames_of(body)))
