"""The dialect ``plain``: a call is one JSON object, for any REQ socket in any language.

The response to ``{"method": "GET", "path": "/users"}`` is ``{"status": 200, "body": [...]}``. A
body that is not JSON travels in separate frames after the object. JSON bodies are passed on as
they were written, never parsed here, which saves memory and loses nothing.
"""

from __future__ import annotations

import math
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, TypeVar
from urllib.parse import quote_plus

import msgspec

from ..errors import LocalProtocolError, RemoteProtocolError
from ..messages import JSON
from . import head
from .bridge import DEFAULT_TTL_MS, media_type
from .items import Call, Response, body_of, frames_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["decode_reply", "decode_request", "encode_reply", "encode_request"]

#: The frame that a REQ socket sends before each message.
DELIMITER: Final = b""

T = TypeVar("T")

_MAX_TIMEOUT: Final = 3600  # seconds: promise P6

_Raw: TypeAlias = msgspec.Raw | msgspec.UnsetType


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    """The keys of a request. Nested objects stay unparsed until their length is checked."""

    path: str
    method: str = "GET"
    query: _Raw = msgspec.UNSET
    headers: _Raw = msgspec.UNSET
    body: _Raw = msgspec.UNSET
    timeout: Annotated[float, msgspec.Meta(gt=0, le=_MAX_TIMEOUT)] = DEFAULT_TTL_MS / 1000


class _Reply(msgspec.Struct, omit_defaults=True):
    """The keys of a reply. Clients ignore other keys, so a later broker may add some."""

    status: Annotated[int, msgspec.Meta(ge=100, le=599)]
    headers: dict[str, str] = {}
    body: _Raw = msgspec.UNSET


_REQUEST: Final = msgspec.json.Decoder(_Request)
_REPLY: Final = msgspec.json.Decoder(_Reply)
_HEADERS: Final = msgspec.json.Decoder(dict[str, str])
#: Each value as it is written, for `_query_value`.
_QUERY: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY: Final = msgspec.json.Decoder(msgspec.Raw)
_STRING: Final = msgspec.json.Decoder(str)

_Utf8Decoder: Final = getincrementaldecoder("utf-8")
_SLICE: Final = 64 * 1024


def decode_request(frames: Sequence[bytes]) -> Call:
    """Decode a request: the delimiter, the JSON object, then the body if it is separate.

    Raises:
      RemoteProtocolError: if it is invalid; the message names the wrong key and is shown to the
        caller. It raises no other exception.

    """
    payload, raw = _split(frames)
    request = _decoded(_REQUEST, payload, "not a plain request")
    headers = _decoded(_HEADERS, _bounded(request.headers, "headers"), "headers")
    query = _decoded(_QUERY, _bounded(request.query, "query"), "query")
    target = _with_query(request.path, query)
    try:
        checked = head.check(request.method, target, headers.items())
    except LocalProtocolError as error:
        raise RemoteProtocolError(str(error)) from None
    return Call(0, _milliseconds(request.timeout), *checked, _body(request.body, raw))


def _split(frames: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
    if len(frames) < 2 or frames[0] != DELIMITER:
        raise RemoteProtocolError("plain: expected an empty frame, then one JSON object")
    return frames[1], frames[2:]


def _decoded(decoder: msgspec.json.Decoder[T], text: bytes, what: str) -> T:
    # All data from peers is decoded here. RecursionError: deep nesting, even in skipped values.
    # ValueError: not UTF-8, which msgspec does not check in a Raw.
    try:
        _check_utf8(text)
        return decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"{what}: {str(error)[:200]}") from error


def _check_utf8(text: bytes) -> None:
    # In slices, because one unusual character makes a string use four bytes for each character.
    if text.isascii():
        return
    decoder = _Utf8Decoder()
    for start in range(0, len(text), _SLICE):
        decoder.decode(text[start : start + _SLICE])
    decoder.decode(b"", final=True)


def _bounded(value: _Raw, key: str) -> bytes:
    # Three megabytes of JSON can become a hundred as objects, so check the length first.
    text = b"{}" if value is msgspec.UNSET else bytes(value)
    if len(text) > head.MAX_HEAD:
        raise RemoteProtocolError(f"{key}: {len(text)} bytes; at most {head.MAX_HEAD} are allowed")
    return text


def _with_query(path: str, query: dict[str, msgspec.Raw]) -> str:
    if len(path) > head.MAX_HEAD:
        raise RemoteProtocolError(f"path: {len(path)} characters; at most {head.MAX_HEAD} allowed")
    if not query:
        return path
    pairs = "&".join(f"{quote_plus(name)}={_query_value(value)}" for name, value in query.items())
    return f"{path}{'&' if '?' in path else '?'}{pairs}"


def _query_value(value: msgspec.Raw) -> str:
    # Numbers are passed on as written: 1.50 stays 1.50, and integers can have any size.
    text = bytes(value)
    if text[:1] == b'"':
        return quote_plus(_decoded(_STRING, text, "query"))
    if text[:1] in b"{[n":
        raise RemoteProtocolError(f"query: use strings, numbers, booleans, not {text[:40]!r}")
    return quote_plus(text)


def _milliseconds(timeout: float) -> int:
    # Round up, so that no deadline becomes 0; but 2.007 * 1000 is 2007.0000000000002, and that
    # remainder must not become a millisecond.
    return math.ceil(round(timeout * 1000, 6)) or 1


def _body(inline: _Raw, raw: Sequence[bytes]) -> bytes | list[bytes]:
    if inline is msgspec.UNSET:
        return body_of(raw) if raw else b""
    if raw:
        raise RemoteProtocolError("body: given twice, in the object and in a separate frame")
    return bytes(inline)


def encode_request(call: Call) -> list[bytes]:
    """Encode a request as a client sends it, without the id.

    Raises:
      LocalProtocolError: if method, target or headers are invalid, or if the deadline is not
        within an hour from now.

    """
    if not 0 < call.ttl <= _MAX_TIMEOUT * 1000:
        raise LocalProtocolError(f"a call has 1 to {_MAX_TIMEOUT * 1000} ms left, not {call.ttl}")
    method, target, headers = head.check(call.method, call.target, call.headers.items())
    body, raw = _carried(call.headers, frames_of(call.body))
    fields = msgspec.Raw(msgspec.json.encode(headers)) if headers else msgspec.UNSET
    request = _Request(target, method, headers=fields, body=body, timeout=call.ttl / 1000)
    return [DELIMITER, msgspec.json.encode(request), *raw]


def encode_reply(response: Response) -> list[bytes]:
    """Encode a reply: JSON in the object, anything else in separate frames.

    A body that is declared as JSON is checked, so that the object is always valid JSON.
    """
    body, raw = _carried(response.headers, frames_of(response.body))
    # A JSON content type is omitted if the body is in the object, and kept if it is in frames.
    headers = dict(response.headers) if raw else _without_json_type(response.headers)
    reply = _Reply(response.status, headers, body)  # omits an empty `dict`, but no subclass of it
    return [DELIMITER, msgspec.json.encode(reply), *raw]


def _without_json_type(headers: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if (name.lower(), value) != ("content-type", JSON)
    }


def _carried(headers: dict[str, str], frames: list[bytes]) -> tuple[_Raw, list[bytes]]:
    """Return the body as the part for the object, and the frames that follow the object."""
    if frames == [b""]:
        return msgspec.UNSET, []
    if len(frames) == 1 and _is_json_type(media_type(headers)) and _is_json(frames[0]):
        return msgspec.Raw(frames[0]), []
    return msgspec.UNSET, frames


def _is_json_type(kind: str) -> bool:
    return kind == JSON or kind.endswith("+json")


def _is_json(body: bytes) -> bool:
    # Decoding as Raw checks the syntax without creating objects. It does not check the bytes
    # inside strings, hence the second test.
    try:
        _ANY.decode(body)
        _check_utf8(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def decode_reply(frames: Sequence[bytes]) -> Response:
    """Decode a reply as a client receives it; its id is 0.

    Raises:
      RemoteProtocolError: if it is invalid. It raises no other exception.

    """
    payload, raw = _split(frames)
    reply = _decoded(_REPLY, payload, "not a plain reply")
    return Response(0, reply.status, reply.headers, _body(reply.body, raw))
