"""The size of a call, and whether it is over a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..wire.items import frames_of

if TYPE_CHECKING:
    from .limits import Limits
    from .records import Work

__all__ = ["find_oversize", "size_of"]

#: What a call costs beside its bytes; no call is free in a queue bounded in bytes.
OVERHEAD: Final = 512


def size_of(call: Work) -> int:
    """Return about how many bytes ``call`` keeps while it waits."""
    fields = sum(_text_size(name) + _text_size(value) for name, value in call.headers.items())
    return OVERHEAD + len(call.method) + _text_size(call.target) + fields + _body_size(call)


def find_oversize(call: Work, limits: Limits) -> tuple[int, str] | None:
    """Hold ``call`` against the limits on its parts; return (status, detail), or None."""
    if _text_size(call.method) + _text_size(call.target) > limits.target_bytes:
        return 414, f"method and path are longer than {limits.target_bytes} bytes"
    if _body_size(call) > limits.body_bytes:
        return 413, f"the body is larger than {limits.body_bytes} bytes"
    sizes = [_text_size(name) + _text_size(value) for name, value in call.headers.items()]
    if len(sizes) > limits.header_fields:
        return 431, f"more than {limits.header_fields} header fields"
    if max(sizes, default=0) > limits.header_bytes:
        return 431, f"a header field is larger than {limits.header_bytes} bytes"
    if sum(sizes) > limits.headers_bytes:
        return 431, f"the header fields are larger than {limits.headers_bytes} bytes"
    return None


def _text_size(text: str) -> int:
    """Return the bytes of ``text`` on the wire; up to four for a character."""
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _body_size(call: Work) -> int:
    return sum(map(len, frames_of(call.body)))
