"""The exceptions that trizmq raises, organized by cause.

An error that ends a call has ``executed``: ``"no"`` if no handler received the call, so it is
safe to try again, and ``"maybe"`` if a worker received it and the outcome is unknown (promise
P2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = [
    "CallError",
    "ConfigError",
    "DeadlineExceeded",
    "Executed",
    "HTTPError",
    "LocalProtocolError",
    "NoResponseError",
    "Overloaded",
    "PluginError",
    "ProtocolError",
    "RemoteProtocolError",
    "TrizmqError",
    "Unreachable",
]

Executed: TypeAlias = Literal["no", "maybe"]


class TrizmqError(Exception):
    """Base class of all exceptions that trizmq raises intentionally."""


class CallError(TrizmqError):
    """A call failed. Only `ResponseError` and the subclasses of `NoResponseError` are raised.

    Attributes:
      executed: ``"no"``: no handler received the call; ``"maybe"``: a handler may have.

    """

    def __init__(self, message: str, *, executed: Executed) -> None:
        super().__init__(message)
        self.executed: Executed = executed


class NoResponseError(CallError):
    """A call ended without a response. Only its subclasses are raised."""


class Unreachable(NoResponseError):  # noqa: N818 (the cause is the name)
    """No broker responded at the endpoint, or the broker was lost while it had the call."""


class DeadlineExceeded(NoResponseError):  # noqa: N818
    """The call's own deadline passed (30 s unless the caller's Trio scope sets another)."""


class Overloaded(NoResponseError):  # noqa: N818
    """Too many calls are already waiting in this client: try again later, or send fewer."""


class ProtocolError(TrizmqError):
    """The wire protocol was violated. Only its two subclasses are raised."""


class LocalProtocolError(ProtocolError):
    """A bug or an invalid argument on this side would have violated the protocol."""

    executed: Executed = "no"


class RemoteProtocolError(ProtocolError):
    """The peer violated the protocol; its message is dropped and counted."""

    executed: Executed = "maybe"


class PluginError(TrizmqError):
    """A plugin is missing, broken, or collides with another; the message is one line."""


class ConfigError(TrizmqError, ValueError):
    """A setting is unknown or invalid; the message is one line that explains the error."""


class HTTPError(TrizmqError):
    """Raise this in a handler to respond with ``status`` and a problem document.

    Args:
      status: 400..599.
      detail: an explanation for the caller: text, or any JSON value. Other values, such as
        exceptions, are converted to text.
      headers: added to the response.

    """

    def __init__(
        self, status: int, detail: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"HTTPError needs a status of 400..599, got {status}")
        super().__init__(detail or str(status))
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
