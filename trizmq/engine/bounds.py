"""The size of a call, and whether it is over a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..wire.items import frames_of

if TYPE_CHECKING:
    from ..wire.items import Body, Headers
    from .limits import Limits
    from .records import Work

__all__ = ["find_oversize", "find_oversize_part", "size_of", "small_of"]

#: What a call costs beside its bytes; no call is free in a queue bounded in bytes.
OVERHEAD: Final = 512


def size_of(call: Work) -> int:
    """Return about how many bytes ``call`` keeps while it waits."""
    fields = sum(_text_size(name) + _text_size(value) for name, value in call.headers.items())
    return OVERHEAD + len(call.method) + _text_size(call.target) + fields + _body_size(call)


def find_oversize(call: Work, limits: Limits) -> tuple[int, str] | None:
    """Hold ``call`` against the limits on its parts; return (status, detail), or None."""
    return find_oversize_part(call.method, call.target, call.headers, call.body, limits)


def find_oversize_part(
    method: str, target: str, headers: Headers, body: Body, limits: Limits
) -> tuple[int, str] | None:
    """Hold the parts of a request against their limits; return (status, detail), or None."""
    if _text_size(method) + _text_size(target) > limits.target_bytes:
        return 414, f"method and path are longer than {limits.target_bytes} bytes"
    if sum(map(len, frames_of(body))) > limits.body_bytes:
        return 413, f"the body is larger than {limits.body_bytes} bytes"
    sizes = [_text_size(name) + _text_size(value) for name, value in headers.items()]
    if len(sizes) > limits.header_fields:
        return 431, f"more than {limits.header_fields} header fields"
    if max(sizes, default=0) > limits.header_bytes:
        return 431, f"a header field is larger than {limits.header_bytes} bytes"
    if sum(sizes) > limits.headers_bytes:
        return 431, f"the header fields are larger than {limits.headers_bytes} bytes"
    return None


def small_of(limits: Limits) -> int:
    """Return a number of bytes: a request none of whose parts has more is over no limit.

    A header field counts as 32 bytes at least, so that their number needs no look either.
    """
    return min(limits.target_bytes, limits.part_bytes, 32 * limits.header_fields)


def _text_size(text: str) -> int:
    """Return the bytes of ``text`` on the wire; up to four for a character."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _body_size(call: Work) -> int:
    return sum(map(len, frames_of(call.body)))
