r"""The head of a request as text: how an MDP client says method, target and header fields.

RFC 7 and RFC 18 leave the service frame to the application, and so it may hold

- a service name, ``users``: delivered as ``POST /users``;
- a request line, ``GET /users/1?full=1``: delivered as that.

Further lines are header fields, as in HTTP's head, so that an MDP client can carry a token:
``GET /users\nauthorization: Bearer abc``. Lines end in LF or CRLF; the last need not.

The same checks hold for the dialect ``plain``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MAX_HEAD",
    "Head",
    "check",
    "is_service",
    "read",
    "service_frame",
    "service_name",
    "write",
]

#: Bytes of a head. Above the broker's own limits (a target of 2 KiB, headers of 16 KiB), so
#: that those are what a caller meets; this one bounds what a parse may cost.
MAX_HEAD: Final = 32 * 1024

_SERVICE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHOD: Final = re.compile(r"[A-Za-z]{1,16}")
_LINE_END: Final = re.compile(r"\r?\n")

# No control characters of either set, no line or paragraph separator, no lone surrogates:
# none of them can be seen in a log, and some of them end its lines.
_UNSEEN: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
_TARGET: Final = re.compile(f"/[^ {_UNSEEN}]*")
_FIELD_VALUE: Final = re.compile(f"[^{_UNSEEN}]*")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token


class Head(NamedTuple):
    """A request but for its body; ``target`` is the path, with the query behind a ``?``."""

    method: str
    target: str
    headers: dict[str, str]


def check(method: str, target: str, fields: Iterable[tuple[str, str]] = ()) -> Head:
    """Return a head in its normal form: method in upper case, names in lower case, values trimmed.

    Fields of one name are joined by a comma (RFC 9110, section 5.3).

    Raises:
      LocalProtocolError: if any of it is not allowed. (Who reads a peer's makes it Remote.)

    """
    if not _METHOD.fullmatch(method):
        raise LocalProtocolError(f"method: wanted 1 to 16 letters, got {method[:40]!r}")
    if not _TARGET.fullmatch(target):
        raise LocalProtocolError(
            "path: wanted one that starts with '/' and holds no spaces or control characters "
            f"(percent-encode them), got {target[:40]!r}"
        )
    return Head(method.upper(), target, _checked_fields(fields))


def _checked_fields(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for field in fields:
        name, value = _checked_field(*field)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _checked_field(name: str, value: str) -> tuple[str, str]:
    value = value.strip(" \t")
    if not _FIELD_NAME.fullmatch(name):
        raise LocalProtocolError(f"headers: not a field name: {name[:40]!r}")
    if not _FIELD_VALUE.fullmatch(value):
        raise LocalProtocolError(f"headers: a control character in the value of {name[:40]!r}")
    return name.lower(), value  # lower case only now: the Kelvin sign's is an ASCII k


def read(frame: bytes) -> Head:
    """Read a client's service frame.

    Raises:
      RemoteProtocolError: if it is neither a service name nor a request line, each with header
        fields or without. No other exception leaves.

    """
    first, *lines = _lines(frame)
    if not lines and is_service(first):  # the usual case, and there is nothing more to check
        return Head("POST", f"/{first}", {})
    try:
        return check(*_request_line(first), map(_split_field, lines))
    except LocalProtocolError as error:
        raise RemoteProtocolError(str(error)) from None


def _lines(frame: bytes) -> list[str]:
    if len(frame) > MAX_HEAD:
        raise RemoteProtocolError(f"a head of {len(frame)} bytes; at most {MAX_HEAD} are read")
    try:
        lines = _LINE_END.split(frame.decode())
    except UnicodeDecodeError:
        raise RemoteProtocolError("the head is not UTF-8") from None
    return lines if lines[-1] or len(lines) == 1 else lines[:-1]


def _request_line(line: str) -> tuple[str, str]:
    if _SERVICE.fullmatch(line):
        return "POST", f"/{line}"
    method, space, target = line.partition(" ")
    if not space:
        raise LocalProtocolError(
            "service: wanted a name of 1 to 64 of A-Z a-z 0-9 . _ - or a request line like "
            f"'GET /users/1', got {line[:40]!r}"
        )
    return method, target


def _split_field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise LocalProtocolError(f"headers: wanted 'name: value', got {line[:40]!r}")
    return name, value


def write(head: Head) -> bytes:
    """Write a service frame: the inverse of `read`; the bare service name where that says it all.

    Raises:
      LocalProtocolError: if the head holds what `check` does not allow, or is too long.

    """
    method, target, headers = check(head.method, head.target, head.headers.items())
    is_service = method == "POST" and _SERVICE.fullmatch(target[1:])
    line = target[1:] if is_service else f"{method} {target}"
    frame = "\n".join([line, *(f"{name}: {value}" for name, value in headers.items())]).encode()
    if len(frame) > MAX_HEAD:
        raise LocalProtocolError(f"a head of {len(frame)} bytes; at most {MAX_HEAD} are allowed")
    return frame


def is_service(name: str) -> bool:
    """Tell whether ``name`` may be a service's: 1 to 64 of ``A-Za-z0-9._-``."""
    return bool(_SERVICE.fullmatch(name))


def service_name(frame: bytes) -> str:
    """Read the service that a worker offers.

    Raises:
      RemoteProtocolError: if it is no service name.

    """
    name = frame[:65].decode("ascii", "replace")
    if not is_service(name):
        raise RemoteProtocolError(f"not a service name: {name[:40]!r}")
    return name


def service_frame(name: str) -> bytes:
    """Write the service that a worker offers.

    Raises:
      LocalProtocolError: if it is no service name.

    """
    if not is_service(name):
        raise LocalProtocolError(f"not a service name: {name[:40]!r}")
    return name.encode()
