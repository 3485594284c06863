"""Which dialect a message is in: the first frames tell.

Both functions take the frames as a ROUTER hands them on, without the routing id.

How the frontend tells (`read`), in this order:

1. The first byte is that of a msgpack array, and the message as a whole reads as native:
   ``native``.
2. The first frame is ``MDPC02``: ``mdp02`` without a delimiter; or it begins as a ``packed``
   one does: ``AA A4``, and ``MDPC02`` behind it. No envelope.
3. There is an empty frame: it and the frames before it are the envelope. A REQ socket sends
   that empty frame alone; each ROUTER in a queue between puts one address in front. An
   address has 1 to 255 bytes (ZeroMQ's own bound) and is no MDP header. What follows is
   ``MDPC01``; or ``MDPC02``, with 02 ``majortomo`` and else ``mdp02``; or ``packed``; or
   anything else, ``plain``: a REQ socket that gets no answer is stuck for good, so what is
   not a request is answered 400.

The order matters. An address may begin like a msgpack array, hence "as a whole" in 1: a batch
must also use up every frame behind it, which an envelope's first frame does not. And a body may
hold empty frames, hence 2 before 3. Through a queue only peers with a delimiter can be told
apart from noise; native and exact RFC 18 peers connect directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from typing import Final as Constant

from ..errors import RemoteProtocolError
from . import bridge, native, plain
from .items import Call  # noqa: TC001
from .mdp import MAJORTOMO, MDP, MDP01, MDP02, PACKED, Command, Final, Partial
from .packed import CLIENT, WORKER, is_packed
from .plain import DELIMITER
from .return_path import PLAIN, MalformedCall, MalformedCommand, ReturnPath

if TYPE_CHECKING:
    from .items import Item
    from .mdp import Dialect

__all__ = [
    "MAX_REPLY_FRAMES",
    "MAX_REQUEST_FRAMES",
    "ForeignCall",
    "ForeignCommand",
    "is_worker_command",
    "read",
    "read_worker",
    "return_path_of",
]

#: Frames of a body outside the native dialect (docs/reference/statuses.md). A worker may add
#: some to what it was given: an echo of a request that we pass on must be one that we read.
MAX_REQUEST_FRAMES: Constant = 32
MAX_REPLY_FRAMES: Constant = 64

#: Addresses of one envelope: one for each queue on the way.
_MAX_ADDRESSES: Constant = 32

#: libzmq: "The routing id must be ... at most 255 bytes long".
_MAX_ADDRESS: Constant = 255

_HEADERS: Constant = frozenset({b"MDPC01", b"MDPC02", b"MDPW01", b"MDPW02"})

#: How each dialect's worker commands begin, all but the code.
_WORKERS: Constant[dict[tuple[bytes, ...], Dialect]] = {
    (DELIMITER, b"MDPW01"): MDP01,
    (b"MDPW02",): MDP02,
    (DELIMITER, b"MDPW02"): MAJORTOMO,
}


class ForeignCall(NamedTuple):
    """A call in another dialect than native, its id 0, and how to answer it."""

    call: Call
    return_path: ReturnPath


class ForeignCommand(NamedTuple):
    """A command of an MDP worker; answer it with ``return_path.MDP[dialect].encode_worker``."""

    dialect: str
    command: Command


def read(frames: list[bytes], request_frames: int = MAX_REQUEST_FRAMES) -> list[Item] | ForeignCall:
    """Read what a client sent to the frontend; a foreign body has at most ``request_frames``.

    Raises:
      MalformedCall: if it is a call with a mistake in it, or anything else from a REQ socket:
        answer along ``.return_path``.
      MalformedCommand: if it is a worker's command: workers use the backend.
      RemoteProtocolError: if it is anything else: drop it. No other exception leaves.

    """
    if not frames or frames[0][:1] not in native.FIRST_BYTES:
        return _read_foreign(frames, request_frames)
    try:
        return native.decode(frames)
    except RemoteProtocolError:
        if _recognise(frames) is None:
            raise
    return _read_foreign(frames, request_frames)


def _read_foreign(frames: list[bytes], request_frames: int) -> ForeignCall:
    codec = _worker_codec(frames)
    if codec is not None:
        raise MalformedCommand("a worker command on the frontend", codec.name)
    found = _recognise(frames)
    if found is None:
        raise RemoteProtocolError(f"no client's dialect known here: {len(frames)} frames")
    dialect, start = found
    try:
        read = _read_plain(frames, start) if dialect == PLAIN else _read_mdp(dialect, frames, start)
        body = read.call.body
        if type(body) is list and len(body) > request_frames:
            raise RemoteProtocolError(
                f"a body of {len(body)} frames; at most {request_frames} are read"
            )
    except RemoteProtocolError as error:
        raise MalformedCall(str(error), _return_path(frames, dialect, start)) from error
    return read


def _read_plain(frames: list[bytes], start: int) -> ForeignCall:
    call = plain.decode_request(frames[start - 1 :])
    return ForeignCall(call, ReturnPath(PLAIN, tuple(frames[:start])))


def _read_mdp(dialect: str, frames: list[bytes], start: int) -> ForeignCall:
    codec = MDP[dialect]
    request = codec.decode_request(frames[start - codec.is_delimited :])
    return_path = ReturnPath(dialect, tuple(frames[:start]), request.service)
    return ForeignCall(bridge.call_of(request), return_path)


def return_path_of(frames: list[bytes]) -> ReturnPath | None:
    """Return how to answer a message, whether it can be read or not; None if nobody knows."""
    found = _recognise(frames)
    return None if found is None else _return_path(frames, *found)


def _return_path(frames: list[bytes], dialect: str, start: int) -> ReturnPath:
    envelope = tuple(frames[:start])
    if dialect == PLAIN:
        return ReturnPath(PLAIN, envelope)
    codec = MDP[dialect]
    return ReturnPath(dialect, envelope, codec.service_of(frames[start - codec.is_delimited :]))


def _recognise(frames: list[bytes]) -> tuple[str, int] | None:
    """Return the dialect of a foreign call, and the number of frames in its envelope."""
    if frames[:1] == [b"MDPC02"]:
        return MDP02.name, 0
    if frames and is_packed(frames[0], CLIENT):
        return PACKED.name, 0
    start = _envelope_length(frames)
    match frames[start : start + 2]:
        case _ if not start:
            return None
        case [b"MDPC01", *_]:
            return MDP01.name, start
        case [b"MDPC02", b"\x02"]:
            return MAJORTOMO.name, start
        case [b"MDPC02", *_]:
            return MDP02.name, start
        case [first, *_] if is_packed(first, CLIENT):
            return PACKED.name, start
    return PLAIN, start


def _envelope_length(frames: list[bytes]) -> int:
    """Return the number of frames up to the delimiter, with it; 0 if there is no envelope."""
    opening = frames[: _MAX_ADDRESSES + 1]
    if DELIMITER not in opening:
        return 0
    end = opening.index(DELIMITER)
    return end + 1 if all(map(_may_be_address, opening[:end])) else 0


def _may_be_address(frame: bytes) -> bool:
    return len(frame) <= _MAX_ADDRESS and frame not in _HEADERS


def read_worker(
    frames: list[bytes], reply_frames: int = MAX_REPLY_FRAMES
) -> list[Item] | ForeignCommand:
    """Read what a worker sent to the backend; an MDP reply has at most ``reply_frames`` of body.

    Raises:
      MalformedCommand: if it begins as a command of MDP does, and is none.
      MalformedCall: if a client has sent it, perhaps: tell it along ``.return_path``.
      RemoteProtocolError: if it is anything else. No other exception leaves.

    """
    if frames and frames[0][:1] in native.FIRST_BYTES:
        return native.decode(frames)
    codec = _worker_codec(frames)
    if codec is None:
        message = f"no worker's dialect known here: {len(frames)} frames"
        return_path = return_path_of(frames)
        if return_path is None:
            raise RemoteProtocolError(message)
        raise MalformedCall(message, return_path)
    try:
        command = codec.decode_worker(frames)
        if len(frames) > reply_frames:
            _check_reply(command, reply_frames)
    except RemoteProtocolError as error:
        raise MalformedCommand(str(error), codec.name) from error
    return ForeignCommand(codec.name, command)


def _check_reply(command: Command, reply_frames: int) -> None:
    if isinstance(command, Partial | Final) and len(command.body) > reply_frames:
        raise RemoteProtocolError(
            f"a body of {len(command.body)} frames; at most {reply_frames} are read"
        )


def is_worker_command(frames: list[bytes]) -> bool:
    """Tell whether an MDP worker sent this, for an endpoint that serves both roles."""
    return _worker_codec(frames) is not None


def _worker_codec(frames: list[bytes]) -> Dialect | None:
    if frames and is_packed(frames[0], WORKER):
        return PACKED
    return _WORKERS.get(tuple(frames[:2] if frames[:1] == [DELIMITER] else frames[:1]))
