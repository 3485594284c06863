"""Every exception that trizmq raises on purpose, by cause.

An error that ends a call has ``executed``: ``"no"`` when it is known that no handler was
given the call (trying again is safe), ``"maybe"`` when it was handed on and its fate is
unknown (promise P2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .messages import Response

__all__ = [
    "CallError",
    "ConfigError",
    "DeadlineExceeded",
    "Executed",
    "HTTPError",
    "LocalProtocolError",
    "Overloaded",
    "PluginError",
    "ProtocolError",
    "RemoteProtocolError",
    "ResponseError",
    "TrizmqError",
    "Unreachable",
]

Executed: TypeAlias = Literal["no", "maybe"]


class TrizmqError(Exception):
    """Base of every error that trizmq raises on purpose."""


class CallError(TrizmqError):
    """A call ended without a response. Raised only as one of its subclasses.

    Attributes:
      executed: ``"no"``: no handler was given the call; ``"maybe"``: one may have been.

    """

    def __init__(self, message: str, *, executed: Executed) -> None:
        super().__init__(message)
        self.executed: Executed = executed


class Unreachable(CallError):  # noqa: N818 (the cause is the name)
    """Nobody answered at the endpoint, or the broker was lost while the call was there."""


class DeadlineExceeded(CallError):  # noqa: N818
    """The call's own deadline passed (30 s unless the caller's Trio scope sets one)."""


class Overloaded(CallError):  # noqa: N818
    """Too many calls wait in this client already: try again later, or send fewer."""


class ProtocolError(TrizmqError):
    """A wire protocol was violated. Raised only as one of its two subclasses."""


class LocalProtocolError(ProtocolError):
    """We were about to break the protocol: a bug, or a bad argument, on this side."""

    executed: Executed = "no"


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol: what it sent is dropped and counted."""

    executed: Executed = "maybe"


class PluginError(TrizmqError):
    """A plugin is missing, broken, or collides with another. One line that names it."""


class ConfigError(TrizmqError):
    """A setting is unknown or wrong. One line that names it and says what is wanted."""


class ResponseError(CallError):
    """The response has an error status; raised by ``response.raise_for_status()`` only."""

    def __init__(self, message: str, *, response: Response, executed: Executed) -> None:
        super().__init__(message, executed=executed)
        self.response = response


class HTTPError(TrizmqError):
    """Raise this in a handler to answer with ``status`` and a problem document.

    Args:
      status: 400..599.
      detail: what went wrong, for the caller's eyes: text, or any value that JSON has; another
        one, such as an exception, is sent as its text.
      headers: added to the response.

    """

    def __init__(
        self, status: int, detail: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"HTTPError wants a status of 400..599, got {status}")
        super().__init__(detail or str(status))
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
