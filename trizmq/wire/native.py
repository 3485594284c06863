"""The native dialect: a batch of items in one frame, large bodies in frames of their own.

The hot path of everything. One C call reads a whole batch; what Python adds is one look
at each body. (Measured for a batch of 16 calls: 0.25 us a call to read, 0.13 to write.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, cast

import msgspec

from ..errors import LocalProtocolError, RemoteProtocolError
from .items import MAX_BODY_FRAMES, Call, Item, Part, Response, body_of, frames_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BATCH",
    "FIRST_BYTES",
    "LARGE",
    "MAX_FRAMES",
    "MAX_ITEMS",
    "NATIVE",
    "decode",
    "encode",
]

#: The name of this dialect.
NATIVE: Final = "native"

#: Items that we send in one message. With 16 the sockets cost a tenth more; with 64 both sides
#: fall into lock-step where 64 calls are in flight, and make a third less.
BATCH: Final = 32

#: Items that we accept in one message: a peer may have measured otherwise.
MAX_ITEMS: Final = 256

#: Frames of one message: a batch, and a body of as many frames as there may be.
MAX_FRAMES: Final = 1 + MAX_BODY_FRAMES

#: Above this many bytes a body travels as a frame of its own: there a copy costs more
#: than a frame does.
LARGE: Final = 32 * 1024

#: How a msgpack array begins: fixarray, array 16, array 32.
FIRST_BYTES: Final = frozenset(bytes([byte]) for byte in [*range(0x90, 0xA0), 0xDC, 0xDD])

# A length beyond these bounds is refused before anything is allocated for it.
_Batch: TypeAlias = Annotated[list[Item], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]
_WithBody: TypeAlias = Call | Response | Part

_decode = msgspec.msgpack.Decoder(_Batch).decode
_encode = msgspec.msgpack.Encoder().encode

#: What msgspec may raise for foreign bytes: bad UTF-8 and deep nesting are not its own errors.
#: IndexError: there is no frame; so a transport hands on what has too many of them.
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError, IndexError)
_UNWRITABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, OverflowError)


def decode(frames: Sequence[bytes]) -> list[Item]:
    """Read one message.

    Args:
      frames: the batch, then the frames of the large bodies in the order of their items.

    Raises:
      RemoteProtocolError: if the first frame is no batch of 1 to `MAX_ITEMS` items, or if the
        bodies do not use up the other frames exactly. No other exception leaves, ever.

    """
    try:
        items = _decode(frames[0])
    except _UNREADABLE as error:
        raise RemoteProtocolError(f"not a native batch: {str(error)[:200]}") from error
    taken = 1
    for item in items:
        if type(item.body) is int:
            taken = _attach(item, frames, taken)
    if taken != len(frames):
        raise RemoteProtocolError(f"{len(frames) - taken} frames that no item in the batch claims")
    return items


def _attach(item: _WithBody, frames: Sequence[bytes], start: int) -> int:
    """Give ``item`` the frames that its body counts; return where the next ones start."""
    count = cast("int", item.body)
    end = start + count
    if end > len(frames):
        raise RemoteProtocolError(f"a body of {count} frames, {len(frames) - start} are left")
    item.body = body_of(frames[start:end])
    return end


def encode(items: Sequence[Item]) -> list[bytes]:
    """Write ``items``, at least one, as one message; they are left as they are.

    Raises:
      LocalProtocolError: if there is none, or one that cannot be written: a lone surrogate in
        a header, an id beyond 64 bits, a body of too many frames, or several that are too
        many together. Nothing of the batch is written then.

    """
    if not items:
        raise LocalProtocolError("a batch has at least one item")
    for item in items:
        body = item.body
        if type(body) is not bytes or len(body) > LARGE:
            return _encode_apart(items)
    return [_write(items)]


def _encode_apart(items: Sequence[Item]) -> list[bytes]:
    large: list[bytes] = []
    batch = [_set_apart(item, large) for item in items]
    if len(large) >= MAX_FRAMES:
        raise LocalProtocolError(f"bodies of {len(large)} frames in one message")
    return [_write(batch), *large]


def _set_apart(item: Item, large: list[bytes]) -> Item:
    """Return ``item``, or a copy whose body has moved to ``large``."""
    body = frames_of(item.body)
    if len(body) > MAX_BODY_FRAMES:
        raise LocalProtocolError(f"a body of {len(body)} frames; at most {MAX_BODY_FRAMES}")
    if sum(map(len, body)) <= LARGE:
        return item
    large += body
    return msgspec.structs.replace(item, body=len(body))


def _write(items: Sequence[Item]) -> bytes:
    try:
        return _encode(items)
    except _UNWRITABLE as error:
        raise LocalProtocolError(f"an item that cannot be written: {error}") from error
