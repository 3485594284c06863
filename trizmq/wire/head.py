r"""The head of a request as text: how an MDP client says method, target and header fields.

RFC 7 and RFC 18 leave the service frame to the application, and so it may hold

- a request line, ``GET /users/1?full=1``: delivered as that;
- a service name, ``users``: delivered as ``POST /users``. Any other printable text is a
  name, too: ``my service`` is delivered as ``POST /my%20service``.

A method, one space and a slash make a request line, so no service may have such a name.

Further lines are header fields, as in HTTP's head, so that an MDP client can carry a token:
``GET /users\nauthorization: Bearer abc``. Lines end in LF or CRLF; the last need not.

The same checks hold for the dialect ``plain``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import names
from ..errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MAX_HEAD",
    "Head",
    "check",
    "read",
    "service_frame",
    "service_name",
    "write",
]

#: Bytes of a head. Above the broker's own limits (a target of 2 KiB, headers of 16 KiB), so
#: that those are what a caller meets; this one bounds what a parse may cost.
MAX_HEAD: Final = 32 * 1024

_LINE_END: Final = re.compile(r"\r?\n")

_WANTED: Final = "a service name is printable UTF-8 of 1 to 255 bytes, and no request line"


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
    headers = names.check_fields(fields)
    return Head(names.check_method(method), names.check_target(target), headers)


def read(frame: bytes) -> Head:
    """Read a client's service frame.

    Raises:
      RemoteProtocolError: if it is neither a service name nor a request line, each with header
        fields or without. No other exception leaves.

    """
    first, *lines = _lines(frame)
    if not lines and names.is_service(first):  # the usual case, and there is nothing more to check
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
    if names.is_request_line(line):
        method, _, target = line.partition(" ")
        return method, target
    if names.is_mdp_service(line):
        return "POST", names.path_of_service(line)
    raise LocalProtocolError(
        "service: wanted a printable name of 1 to 255 bytes, or a request line like "
        f"'GET /users/1', got {line[:40]!r}"
    )


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
    line = _bare_name(target) if method == "POST" else None
    line = line or f"{method} {target}"
    frame = "\n".join([line, *(f"{name}: {value}" for name, value in headers.items())]).encode()
    if len(frame) > MAX_HEAD:
        raise LocalProtocolError(f"a head of {len(frame)} bytes; at most {MAX_HEAD} are allowed")
    return frame


def _bare_name(target: str) -> str | None:
    """Return the service name that `read` makes this target of, or None."""
    name = names.service_of(target)
    if name and names.path_of_service(name) == target and names.is_mdp_service(name):
        return name
    return None


def service_name(frame: bytes) -> str:
    """Read the service that a worker offers.

    Raises:
      RemoteProtocolError: if it is not a service name; the message says which.

    """
    try:
        name = frame.decode() if len(frame) <= names.MAX_SERVICE_BYTES else ""
    except UnicodeDecodeError:
        name = ""
    if not names.is_mdp_service(name):
        raise RemoteProtocolError(f"a worker cannot offer {bytes(frame[:60])!r}: {_WANTED}")
    return name


def service_frame(name: str) -> bytes:
    """Write the service that a worker offers.

    Raises:
      LocalProtocolError: if it is not a service name.

    """
    if not names.is_mdp_service(name):
        raise LocalProtocolError(f"a worker cannot offer {name[:60]!r}: {_WANTED}")
    return name.encode()
