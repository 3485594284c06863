"""All rules about names: methods, targets, header fields, services.

The rules are the same in every dialect and in both directions: for messages from clients, for
routes that a router registers, and for responses of handlers. This module handles text; limits
on bytes are in `bounds`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote_to_bytes

from .errors import LocalProtocolError
from .json_codec import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "MAX_SERVICE_BYTES",
    "are_fields_normal",
    "check_fields",
    "check_method",
    "check_target",
    "is_line_normal",
    "is_mdp_service",
    "is_method",
    "is_mmi",
    "is_printable",
    "is_request_line",
    "is_service",
    "label",
    "path_in_service",
    "path_of_service",
    "service_of",
]


#: The maximum size of the name of an MDP worker's service: the packed dialect has one byte.
MAX_SERVICE_BYTES: Final = 255

# No control characters of either set, no line or paragraph separators, no lone surrogates: logs
# cannot show them, and some of them end a line.
_UNPRINTABLE: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"

_UNPRINTABLE_CHARACTER: Final = re.compile(f"[{_UNPRINTABLE}]")

_PRINTABLE: Final = re.compile(f"[^{_UNPRINTABLE}]*")

_METHOD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,15}")

_TARGET: Final = re.compile(f"/[^ {_UNPRINTABLE}]*")

_SERVICE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

_REQUEST_LINE: Final = re.compile(f"{_METHOD.pattern} /", re.DOTALL)

# As functions, which compiled code need not look up for each text.
_is_ascii: Final = str.isascii

_is_printable: Final = str.isprintable

#: RFC 9110, section 5.6.2: a token.
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_NORMAL_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")

_END_OF_SEGMENT: Final = re.compile("[/?]")

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")

#: Nearly all methods, and most field names: one lookup instead of a match.
_USUAL_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_USUAL_FIELDS: Final = frozenset(
    {
        *("accept", "accept-language", "authorization", "content-type", "etag", "if-match"),
        *("if-none-match", "idempotency-key", "location", "retry-after-ms", "traceparent"),
        *("tracestate", "user-agent", "x-request-id"),
    }
)


def is_printable(text: str) -> bool:
    """Return whether a log can show ``text``: no control characters and no line ends."""
    return (text.isascii() and text.isprintable()) or bool(_PRINTABLE.fullmatch(text))


def label(text: str, most: int) -> str:
    """Return at most ``most`` characters of a peer's name, in a form that a log can show."""
    text = text[:most]
    return text if is_printable(text) else _UNPRINTABLE_CHARACTER.sub("?", text)


def is_method(text: str) -> bool:
    """Return whether ``text`` is a valid method: a letter, then up to 15 of ``A-Za-z0-9_-``."""
    return text in _USUAL_METHODS or bool(_METHOD.fullmatch(text))


def check_method(method: str) -> str:
    """Return ``method`` in upper case.

    Raises:
      LocalProtocolError: if it is not a valid method.

    """
    if not is_method(method):
        raise LocalProtocolError(
            f"method: expected a letter and up to 15 letters, digits, '-', '_', not {method[:40]!r}"
        )
    return method.upper()


def check_target(target: str) -> str:
    """Return ``target``, a path with an optional query, if it is valid.

    Raises:
      LocalProtocolError: if it is not.

    """
    usual = target.startswith("/") and _is_ascii(target) and _is_printable(target)
    if usual and " " not in target:
        return target  # the usual case, faster than a match
    if not _TARGET.fullmatch(target):
        raise LocalProtocolError(
            "path: expected one that starts with '/' and contains no spaces or control characters "
            f"(percent-encode them), got {target[:40]!r}"
        )
    return target


def check_fields(fields: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """Return header fields in normal form: names in lower case, values trimmed.

    Fields with the same name are joined by a comma (RFC 9110, section 5.3). Subclasses of
    `str`, such as members of a `StrEnum`, are converted to their text.

    Raises:
      LocalProtocolError: if a name or a value is invalid.

    """
    headers: dict[str, str] = {}
    for given, text in fields:
        name, value = _checked_field(given, text)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _checked_field(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        kinds = f"{type(name).__name__}: {type(value).__name__}"
        raise LocalProtocolError(f"headers: a field is text, not {kinds}")
    trimmed = plain_text(value).strip(" \t")
    if not _FIELD_NAME.fullmatch(name):
        raise LocalProtocolError(f"headers: not a field name: {name[:40]!r}")
    if not is_printable(trimmed):
        raise LocalProtocolError(f"headers: a control character in the value of {name[:40]!r}")
    # Convert to lower case only now: that of the Kelvin sign is an ASCII k.
    return str.lower(name), trimmed


def are_fields_normal(headers: Mapping[Any, Any]) -> bool:
    """Return quickly whether `check_fields` would change nothing; False if it might."""
    for name, value in headers.items():
        if type(name) is not str or type(value) is not str:
            return False
        text: str = value
        if not (text.isascii() and text.isprintable()):
            return False
        if text[:1] == " " or text[-1:] == " ":
            return False
        if name not in _USUAL_FIELDS and not _NORMAL_FIELD_NAME.fullmatch(name):
            return False
    return True


def is_line_normal(method: str, target: str) -> bool:
    """Return quickly whether no check would change or refuse these; False if one might."""
    return (
        method in _USUAL_METHODS
        and target.startswith("/")
        and _is_ascii(target)
        and _is_printable(target)
        and " " not in target
    )


# -- services ------------------------------------------------------------------------------


def is_mmi(name: str) -> bool:
    """Return whether the broker itself responds for ``name``: ``mmi``, or RFC 8's ``mmi.*``."""
    return name == "mmi" or name.startswith("mmi.")


def is_service(name: str) -> bool:
    """Return whether ``name`` is a valid plugin service: 1 to 64 of ``A-Za-z0-9._-``."""
    return bool(_SERVICE.fullmatch(name))


def is_mdp_service(name: str) -> bool:
    """Return whether ``name`` is valid for an MDP worker: printable (RFC 7), 1 to 255 bytes.

    A name that looks like a request line, such as ``GET /``, is not valid, because no MDP
    client could call it.
    """
    if is_service(name):
        return True
    return bool(name) and is_printable(name) and not is_request_line(name) and _is_short(name)


def _is_short(name: str) -> bool:
    return len(name) <= MAX_SERVICE_BYTES and len(name.encode()) <= MAX_SERVICE_BYTES


def is_request_line(text: str) -> bool:
    """Return whether ``text`` starts like a request line: a method, one space, a slash."""
    return bool(_REQUEST_LINE.match(text))


def path_of_service(name: str) -> str:
    """Return the path of a service: its name as the only segment, percent-encoded."""
    return f"/{name}" if is_service(name) else f"/{quote(name, safe='')}"


def service_of(target: str) -> str | None:
    """Return the service in ``target``: the first segment, decoded.

    Returns "" if there is none, and None if it contains a percent-escape that is malformed or
    not UTF-8.
    """
    if target[:1] != "/":
        return ""
    end = target.find("/", 1)
    name = target[1:end] if end > 0 else target[1:]
    if "?" in name:
        name = name.partition("?")[0]
    return name if "%" not in name else _decoded(name)


def path_in_service(target: str) -> str:
    """Return the part of ``target`` after its first segment: the rest of the path, the query."""
    found = _END_OF_SEGMENT.search(target, 1)
    return target[found.start() :] if found else ""


def _decoded(segment: str) -> str | None:
    if _BAD_ESCAPE.search(segment):
        return None
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return None
