r"""The head of a request as text: how an MDP client sends method, target and header fields.

RFC 7 and RFC 18 leave the service frame to the application. It can contain

- a request line, ``GET /users/1?full=1``, which is used as it is;
- a service name, ``users``, which is delivered as ``POST /users``. Any other printable text is
  a name too: ``my service`` is delivered as ``POST /my%20service``.

A method, one space and a slash are a request line, so no service can have such a name.

Further lines are header fields, as in the head of an HTTP request, so that an MDP client can send
a token: ``GET /users\nauthorization: Bearer abc``. Lines end in LF or CRLF, optional for the last.

The dialect ``plain`` uses the same checks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import name_rules
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

#: The maximum size of a head. It exceeds the broker's own limits (a target of 2 KiB, headers of
#: 16 KiB), so that callers meet those; this one limits the cost of parsing.
MAX_HEAD: Final = 32 * 1024

_LINE_END: Final = re.compile(r"\r?\n")

_WANTED: Final = "a service name is printable UTF-8 of 1 to 255 bytes, and not a request line"


class Head(NamedTuple):
    """A request without its body; ``target`` is the path, with the query after a ``?``."""

    method: str
    target: str
    headers: dict[str, str]


def check(method: str, target: str, fields: Iterable[tuple[str, str]] = ()) -> Head:
    """Return a head in normal form: method in upper case, names in lower case, values trimmed.

    Fields with the same name are joined by a comma (RFC 9110, section 5.3).

    Raises:
      LocalProtocolError: if any of it is invalid. (Callers convert it for a peer's message.)

    """
    headers = name_rules.check_fields(fields)
    return Head(name_rules.check_method(method), name_rules.check_target(target), headers)


def read(frame: bytes) -> Head:
    """Decode a client's service frame.

    Raises:
      RemoteProtocolError: if it is neither a service name nor a request line, with or without
        header fields. It raises no other exception.

    """
    first, *lines = _lines(frame)
    if not lines and name_rules.is_service(first):  # the usual case, which needs no further checks
        return Head("POST", f"/{first}", {})
    try:
        return check(*_request_line(first), map(_split_field, lines))
    except LocalProtocolError as error:
        raise RemoteProtocolError(str(error)) from None


def _lines(frame: bytes) -> list[str]:
    if len(frame) > MAX_HEAD:
        raise RemoteProtocolError(f"a head of {len(frame)} bytes; at most {MAX_HEAD} are allowed")
    try:
        lines = _LINE_END.split(frame.decode())
    except UnicodeDecodeError:
        raise RemoteProtocolError("the head is not UTF-8") from None
    return lines if lines[-1] or len(lines) == 1 else lines[:-1]


def _request_line(line: str) -> tuple[str, str]:
    if name_rules.is_request_line(line):
        method, _, target = line.partition(" ")
        return method, target
    if name_rules.is_mdp_service(line):
        return "POST", name_rules.path_of_service(line)
    raise LocalProtocolError(
        "service: expected a printable name of 1 to 255 bytes, or a request line like "
        f"'GET /users/1', got {line[:40]!r}"
    )


def _split_field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise LocalProtocolError(f"headers: expected 'name: value', got {line[:40]!r}")
    return name, value


def write(head: Head) -> bytes:
    """Encode a service frame, the inverse of `read`; as a bare service name if that is enough.

    Raises:
      LocalProtocolError: if the head is not valid according to `check`, or too long.

    """
    method, target, headers = check(head.method, head.target, head.headers.items())
    line = _bare_name(target) if method == "POST" else None
    line = line or f"{method} {target}"
    frame = "\n".join([line, *(f"{name}: {value}" for name, value in headers.items())]).encode()
    if len(frame) > MAX_HEAD:
        raise LocalProtocolError(f"a head of {len(frame)} bytes; at most {MAX_HEAD} are allowed")
    return frame


def _bare_name(target: str) -> str | None:
    """Return the service name that `read` converts to this target, or None."""
    name = name_rules.service_of(target)
    if name and name_rules.path_of_service(name) == target and name_rules.is_mdp_service(name):
        return name
    return None


def service_name(frame: bytes) -> str:
    """Decode the service that a worker offers.

    Raises:
      RemoteProtocolError: if it is not a service name; the message contains it.

    """
    try:
        name = frame.decode() if len(frame) <= name_rules.MAX_SERVICE_BYTES else ""
    except UnicodeDecodeError:
        name = ""
    if not name_rules.is_mdp_service(name):
        raise RemoteProtocolError(f"a worker cannot offer {bytes(frame[:60])!r}: {_WANTED}")
    return name


def service_frame(name: str) -> bytes:
    """Encode the service that a worker offers.

    Raises:
      LocalProtocolError: if it is not a service name.

    """
    if not name_rules.is_mdp_service(name):
        raise LocalProtocolError(f"a worker cannot offer {name[:60]!r}: {_WANTED}")
    return name.encode()
