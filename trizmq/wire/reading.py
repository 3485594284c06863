"""Recognize the dialect of a message by its first frames.

All functions take the frames that a ROUTER received, without the routing id.

The frontend (`read`) applies these rules, in this order:

1. The first byte is that of a msgpack array, and the whole message can be decoded as native:
   ``native``.
2. The first frame is ``MDPC02``: ``mdp02`` without a delimiter; or it begins with
   ``AA A4`` and ``MDPC02``: ``packed``. There is no envelope.
3. There is an empty frame: it and the frames before it are the envelope. A REQ socket sends
   only the empty frame; each ROUTER of a queue in between adds one address before it. An
   address has 1 to 255 bytes (the limit of ZeroMQ) and is not an MDP header. If ``MDPC01``
   follows, it is ``mdp01``. If ``MDPC02`` follows, it is ``majortomo`` if the next frame is
   02, otherwise ``mdp02``. If a ``packed`` command follows, it is ``packed``. Anything else is
   ``plain``: a REQ socket that gets no reply can never send again, so the response to a message
   that is not a request is a 400.

The order matters. An address may begin like a msgpack array, so rule 1 decodes the whole
message: a batch must also account for every frame after it, which the first frame of an envelope
does not. A body may contain empty frames, so rule 2 comes before rule 3. Through a queue, only
peers that send a delimiter can be recognized; native and exact RFC 18 peers connect directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from typing import Final as Constant

from ..errors import RemoteProtocolError
from . import bridge, native, plain
from .items import Call  # noqa: TC001 (compiled code needs the type of a field)
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


#: The maximum number of frames of a foreign body (docs/reference/statuses.md). It is higher for
#: replies, because a worker may add frames to the body of the request that it repeats.
MAX_REQUEST_FRAMES: Constant = 32

MAX_REPLY_FRAMES: Constant = 64

#: The maximum number of addresses in an envelope: one for each queue that the message has passed.
_MAX_ADDRESSES: Constant = 32

#: libzmq: "The routing id must be ... at most 255 bytes long".
_MAX_ADDRESS: Constant = 255

_HEADERS: Constant = frozenset({b"MDPC01", b"MDPC02", b"MDPW01", b"MDPW02"})

#: The frames that begin the worker commands of each dialect, before the code.
_WORKERS: Constant[dict[tuple[bytes, ...], Dialect]] = {
    (DELIMITER, b"MDPW01"): MDP01,
    (b"MDPW02",): MDP02,
    (DELIMITER, b"MDPW02"): MAJORTOMO,
}


class ForeignCall(NamedTuple):
    """A call in a foreign dialect, with the id 0, and its return path."""

    call: Call
    return_path: ReturnPath


class ForeignCommand(NamedTuple):
    """A command of an MDP worker; `return_path.MDP` has the codec for sending one back."""

    dialect: str
    command: Command


def read(frames: list[bytes], request_frames: int = MAX_REQUEST_FRAMES) -> list[Item] | ForeignCall:
    """Decode a message to the frontend; a foreign body has at most ``request_frames`` frames.

    Raises:
      MalformedCall: if it is a malformed call, or anything else from a REQ socket: send a response
        along ``.return_path``.
      MalformedCommand: if it is a worker command, which is valid only on the backend.
      RemoteProtocolError: if it is anything else, to be dropped. No other exception is raised.

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
        raise RemoteProtocolError(f"{len(frames)} frames in no known client dialect")
    dialect, start = found
    try:
        read = _read_plain(frames, start) if dialect == PLAIN else _read_mdp(dialect, frames, start)
        body = read.call.body
        if type(body) is list and len(body) > request_frames:
            raise RemoteProtocolError(
                f"a body of {len(body)} frames; at most {request_frames} are allowed"
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
    """Return the return path of a message, even a malformed one; None if it has none."""
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
    """Return the number of frames up to and including the delimiter; 0 without an envelope."""
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
    """Decode a message to the backend; the body of an MDP reply has at most ``reply_frames``.

    Raises:
      MalformedCommand: if it begins like an MDP worker command but is malformed.
      MalformedCall: if a client may have sent it: send a response along ``.return_path``.
      RemoteProtocolError: if it is anything else. No other exception is raised.

    """
    if frames and frames[0][:1] in native.FIRST_BYTES:
        return native.decode(frames)
    codec = _worker_codec(frames)
    if codec is None:
        message = f"{len(frames)} frames in no known worker dialect"
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
            f"a body of {len(command.body)} frames; at most {reply_frames} are allowed"
        )


def is_worker_command(frames: list[bytes]) -> bool:
    """Return whether an MDP worker sent this, for an endpoint used by clients and workers."""
    return _worker_codec(frames) is not None


def _worker_codec(frames: list[bytes]) -> Dialect | None:
    if frames and is_packed(frames[0], WORKER):
        return PACKED
    return _WORKERS.get(tuple(frames[:2] if frames[:1] == [DELIMITER] else frames[:1]))
