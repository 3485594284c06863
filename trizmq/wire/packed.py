"""The framing of zeromq/majordomo's C library, in front of the commands of MDP 0.2.

RFC 18 names that library as its reference. Where the RFC has frames, the library has one
frame, made by zproto: all of the command up to the address or the body. Byte by byte:

- ``AA A4``: zproto's signature;
- the number of the command among all nine: 1 to 3 a client's, 4 to 9 a worker's;
- ``06``, then ``MDPC02`` or ``MDPW02``: a string is its length in one byte, and its bytes;
- RFC 18's code of the command, in one byte;
- of a client's commands and of READY, the service, a string.

The other frames are RFC 18's, except that a body may have none at all. This module turns one
form into the other; `mdp` reads and writes the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CLIENT", "WORKER", "is_packed", "pack", "unpack"]

CLIENT: Final = b"MDPC02"
WORKER: Final = b"MDPW02"

_SIGNATURE: Final = b"\xaa\xa4"

#: A worker's commands are numbered behind a client's three.
_OFFSETS: Final = {CLIENT: 0, WORKER: 3}

_OPENINGS: Final = {header: b"\x06" + header for header in _OFFSETS}

#: READY, and the commands of a worker that have a body.
_READY: Final = 1
_WITH_BODY: Final = (2, 3, 4)

#: What a string may hold.
_MAX_STRING: Final = 255


def is_packed(frame: bytes, header: bytes) -> bool:
    """Tell whether ``frame`` opens a message of ``header``, `CLIENT` or `WORKER`."""
    return frame[:2] == _SIGNATURE and frame[3:10] == _OPENINGS[header]


def unpack(frames: Sequence[bytes]) -> list[bytes]:
    """Return the frames that RFC 18 has for a packed message; what they say is not looked at.

    Raises:
      RemoteProtocolError: if the first frame is not packed. No other exception leaves.

    """
    if not frames:
        raise RemoteProtocolError("packed: no frame at all")
    first, *rest = frames
    header = first[4:10]
    if header not in _OFFSETS or not is_packed(first, header) or len(first) < 11:
        raise RemoteProtocolError(f"not packed by zproto: {bytes(first[:16])!r}")
    code = first[10]
    if first[2] != code + _OFFSETS[header]:
        raise RemoteProtocolError(f"packed: the command {first[2]} with RFC 18's code {code}")
    opening = [header, first[10:11]]
    if header == CLIENT or code == _READY:
        opening.append(_read_string(first))
    elif len(first) > 11:
        raise RemoteProtocolError(f"packed: {len(first) - 11} bytes too many")
    if not rest and header == CLIENT:
        rest = [b""]
    elif header == WORKER and code in _WITH_BODY and len(rest) == 2 and not rest[1]:
        rest.append(b"")
    return [*opening, *rest]


def _read_string(first: bytes) -> bytes:
    length = first[11:12]
    text = first[12:]
    if not length or length[0] != len(text):
        raise RemoteProtocolError("packed: a service that is longer or shorter than it says")
    return text


def pack(frames: Sequence[bytes]) -> list[bytes]:
    """Return the packed form of a message in RFC 18's frames: the inverse of `unpack`.

    Raises:
      LocalProtocolError: if the service is longer than 255 bytes.

    """
    header, code, *rest = frames
    first = b"".join([_SIGNATURE, bytes([code[0] + _OFFSETS[header], 6]), header, code])
    if header == CLIENT or code[0] == _READY:
        service, *rest = rest
        if len(service) > _MAX_STRING:
            raise LocalProtocolError(
                f"packed: a service frame of {len(service)} bytes; at most 255"
            )
        first += bytes([len(service)]) + service
    return [first, *rest]
