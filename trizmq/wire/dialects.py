"""Which dialect a message is in: the first frames tell.

Both functions take the frames as a ROUTER hands them on, without the routing id.

How the frontend tells (`read`), in this order:

1. The first byte is that of a msgpack array, and the message as a whole reads as native:
   ``native``.
2. The first frame is ``MDPC02``: ``mdp02`` without a delimiter; no envelope.
3. There is an empty frame: it and the frames before it are the envelope. A REQ socket sends
   that empty frame alone; each ROUTER in a queue between puts one address in front. An
   address has 1 to 255 bytes (ZeroMQ's own bound) and is no MDP header. What follows is
   ``MDPC01``; or ``MDPC02``, with 02 ``majortomo`` and else ``mdp02``; or a JSON object, ``plain``.

The order matters. An address may begin like a msgpack array, hence "as a whole" in 1: a batch
must also use up every frame behind it, which an envelope's first frame does not. And a body may
hold empty frames, hence 2 before 3. Through a queue only peers with a delimiter can be told
apart from noise; native and exact RFC 18 peers connect directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import RemoteProtocolError
from . import bridge, majortomo, mdp01, mdp02, native, plain
from .commands import Command  # noqa: TC001 (compiled, a NamedTuple looks at its fields)
from .items import Call  # noqa: TC001
from .mdp import CLIENT_HEADERS, DELIMITER, WORKER_HEADERS
from .return_path import MDP, PLAIN, MalformedCall, ReturnPath

if TYPE_CHECKING:
    from .items import Item
    from .mdp import Codec

__all__ = [
    "MAX_FRAMES",
    "ForeignCall",
    "ForeignCommand",
    "is_worker_command",
    "read",
    "read_worker",
    "return_path_of",
]

#: Frames of a message outside the native dialect, envelope and all (docs/reference/statuses.md).
MAX_FRAMES: Final = 32

#: libzmq: "The routing id must be ... at most 255 bytes long".
_MAX_ADDRESS: Final = 255

_HEADERS: Final = CLIENT_HEADERS | WORKER_HEADERS

#: How each dialect's worker commands begin, all but the code.
_WORKERS: Final = {
    opening[:-1]: codec for codec in MDP.values() for opening in codec.worker.values()
}


class ForeignCall(NamedTuple):
    """A call in another dialect than native, its id 0, and how to answer it."""

    call: Call
    return_path: ReturnPath


class ForeignCommand(NamedTuple):
    """A command of an MDP worker; answer it with ``return_path.MDP[dialect].encode_worker``."""

    dialect: str
    command: Command


def read(frames: list[bytes]) -> list[Item] | ForeignCall:
    """Read what a client sent to the frontend.

    Raises:
      MalformedCall: if it is a call with a mistake in it: answer along ``.return_path``.
      RemoteProtocolError: if it is anything else: drop it. No other exception leaves.

    """
    if not frames or frames[0][:1] not in native.FIRST_BYTES:
        return _read_foreign(frames)
    try:
        return native.decode(frames)
    except RemoteProtocolError:
        if _recognise(frames) is None:
            raise
    return _read_foreign(frames)


def _read_foreign(frames: list[bytes]) -> ForeignCall:
    if is_worker_command(frames):
        raise RemoteProtocolError("a worker command on the frontend: workers use the backend")
    found = _recognise(frames)
    if found is None:
        raise RemoteProtocolError(f"no client's dialect known here: {len(frames)} frames")
    dialect, start = found
    if dialect == PLAIN:
        return _read_plain(frames, start)
    return _read_mdp(MDP[dialect], frames, start)


def return_path_of(frames: list[bytes]) -> ReturnPath | None:
    """Return how to answer a message that could not be read, if its dialect can be told."""
    try:
        found = _recognise(frames)
        if found is None:
            return None
        dialect, start = found
        if dialect == PLAIN:
            return ReturnPath(PLAIN, tuple(frames[:start]))
        codec = MDP[dialect]
        request = codec.decode_request(frames[start - 1 if codec.is_delimited else start :])
    except Exception:
        return None  # whatever made it unreadable does so again
    return ReturnPath(dialect, tuple(frames[:start]), request.service)


def _recognise(frames: list[bytes]) -> tuple[str, int] | None:
    """Return the dialect of a foreign call, and the number of frames in its envelope."""
    _refuse_too_many(frames)
    if frames[:1] == [b"MDPC02"]:
        return mdp02.CODEC.name, 0
    start = _envelope_length(frames)
    match frames[start : start + 2]:
        case _ if not start:
            return None
        case [b"MDPC01", *_]:
            return mdp01.CODEC.name, start
        case [b"MDPC02", b"\x02"]:
            return majortomo.CODEC.name, start
        case [b"MDPC02", *_]:
            return mdp02.CODEC.name, start
        case [payload, *_] if payload.lstrip()[:1] == b"{":
            return PLAIN, start
    return None


def _refuse_too_many(frames: list[bytes]) -> None:
    if len(frames) > MAX_FRAMES:
        raise RemoteProtocolError(f"{len(frames)} frames; at most {MAX_FRAMES} outside native")


def _envelope_length(frames: list[bytes]) -> int:
    """Return the number of frames up to the delimiter, with it; 0 if there is no envelope."""
    if DELIMITER not in frames:
        return 0
    end = frames.index(DELIMITER)
    return end + 1 if all(map(_may_be_address, frames[:end])) else 0


def _may_be_address(frame: bytes) -> bool:
    return len(frame) <= _MAX_ADDRESS and frame not in _HEADERS


def _read_mdp(codec: Codec, frames: list[bytes], start: int) -> ForeignCall:
    request = codec.decode_request(frames[start - 1 if codec.is_delimited else start :])
    return_path = ReturnPath(codec.name, tuple(frames[:start]), request.service)
    try:
        return ForeignCall(bridge.call_of(request), return_path)
    except RemoteProtocolError as error:
        raise MalformedCall(str(error), return_path) from error


def _read_plain(frames: list[bytes], start: int) -> ForeignCall:
    return_path = ReturnPath(PLAIN, tuple(frames[:start]))
    try:
        return ForeignCall(plain.decode_request(frames[start - 1 :]), return_path)
    except RemoteProtocolError as error:
        raise MalformedCall(str(error), return_path) from error


def read_worker(frames: list[bytes]) -> list[Item] | ForeignCommand:
    """Read what a worker sent to the backend.

    Raises:
      RemoteProtocolError: if it is anything else: drop it. No other exception leaves.

    """
    if frames and frames[0][:1] in native.FIRST_BYTES:
        return native.decode(frames)
    _refuse_too_many(frames)
    codec = _worker_codec(frames)
    if codec is None:
        raise RemoteProtocolError(f"no worker's dialect known here: {len(frames)} frames")
    return ForeignCommand(codec.name, codec.decode_worker(frames))


def is_worker_command(frames: list[bytes]) -> bool:
    """Tell whether an MDP worker sent this, for an endpoint that serves both roles."""
    return _worker_codec(frames) is not None


def _worker_codec(frames: list[bytes]) -> Codec | None:
    return _WORKERS.get(tuple(frames[:2] if frames[:1] == [DELIMITER] else frames[:1]))
