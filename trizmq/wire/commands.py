"""The commands of the Majordomo Protocol, as values; RFC 7 and RFC 18 share them.

A worker's conversation and a client's are told apart by their types: ``Request`` is what
a broker sends to a worker, ``ClientRequest`` what a client sends to a broker. A body has
one frame or more, and an empty body is one empty frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "ClientFinal",
    "ClientPartial",
    "ClientRequest",
    "Command",
    "Disconnect",
    "Final",
    "Heartbeat",
    "Partial",
    "Ready",
    "Reply",
    "Request",
]


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to broker: send me requests for ``service``."""

    service: str


@dataclass(frozen=True, slots=True)
class Request:
    """Broker to worker: do this for ``client``, an opaque return address."""

    client: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """Worker to broker: part of a reply; more will follow. Unknown to RFC 7."""

    client: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Final:
    """Worker to broker: the end of a reply (RFC 7: REPLY); the worker is idle again."""

    client: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Either way: still here."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Either way: this conversation is over."""


Command: TypeAlias = Ready | Request | Partial | Final | Heartbeat | Disconnect


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """Client to broker: do this. ``service`` is the frame as it came: see `head`."""

    service: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClientPartial:
    """Broker to client: part of a reply; more will follow. Unknown to RFC 7."""

    service: bytes
    body: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ClientFinal:
    """Broker to client: the end of a reply, for the ``service`` that was asked."""

    service: bytes
    body: tuple[bytes, ...]


Reply: TypeAlias = ClientPartial | ClientFinal
