"""Conversion of text and bytes to exactly `str` and `bytes` for use in messages.

An instance of a subclass (Markup, StrEnum, numpy's ``str_``) is converted to its content, and
its own ``__str__``, ``__format__`` or ``encode`` are ignored.
"""

from __future__ import annotations

__all__ = ["plain_bytes", "plain_text"]


def plain_text(value: str) -> str:
    """Return the content of ``value`` as a `str`.

    Raises:
      TypeError: if it is not text.

    """
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {type(value).__name__}")
    return str.__str__(value)


def plain_bytes(value: bytes | bytearray | memoryview) -> bytes:
    """Return the content of ``value`` as `bytes`: a copy, unless it is `bytes` already.

    Raises:
      TypeError: if it has none of these types.
      ValueError: if it is a memoryview that was released.

    """
    if type(value) is bytes:
        return value
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"expected bytes, not {type(value).__name__}")
    return memoryview(value).tobytes()
