"""Text and bytes as exactly `str` and `bytes`, which is what goes into a message.

A subclass (Markup, StrEnum, numpy's ``str_``) stands for the content that it holds, whatever its
own ``__str__``, ``__format__`` or ``encode`` would make of it.
"""

from __future__ import annotations

__all__ = ["plain_bytes", "plain_text"]


def plain_text(value: str) -> str:
    """Return the content of ``value`` as a `str`.

    Raises:
      TypeError: it is no text.

    """
    if not isinstance(value, str):
        raise TypeError(f"wanted text, not {type(value).__name__}")
    return str.__str__(value)


def plain_bytes(value: bytes | bytearray | memoryview) -> bytes:
    """Return the content of ``value`` as `bytes`: a copy, unless it is `bytes` already.

    Raises:
      TypeError: it is none of the three.
      ValueError: it is a memoryview that was released.

    """
    if type(value) is bytes:
        return value
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"wanted bytes, not {type(value).__name__}")
    return memoryview(value).tobytes()
