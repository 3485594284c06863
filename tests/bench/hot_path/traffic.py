"""The measured traffic: one call, always the same, and its response."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from trizmq.wire import native
from trizmq.wire.items import Call, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trizmq.wire.items import Item

__all__ = [
    "BODY",
    "CALLS",
    "FEW",
    "PATH",
    "admin_token",
    "calls",
    "in_batches",
    "responses",
    "written",
]

T = TypeVar("T")

#: The number of calls in flight at once, in all measurements here.
CALLS: Final = 64

#: The number of calls in one pass, for measuring the cost of the pass itself.
FEW: Final = 8

PATH: Final = "/users/1"
BODY: Final = b'{"id":1,"name":"August"}'


def calls(token: str, first: int = 1) -> list[Call]:
    """Return `CALLS` calls, whose ids count up from ``first``."""
    headers = {"authorization": f"Bearer {token}"}
    return [Call(first + i, 30_000, "GET", PATH, headers, b"") for i in range(CALLS)]


def admin_token(directory: str) -> str:
    """Return the token that the first start has stored in its state directory."""
    return Path(directory, "admin-token").read_text().strip()


def responses(ids: Iterable[int]) -> list[Response]:
    return [Response(each, 200, {}, BODY) for each in ids]


def in_batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[i : i + native.BATCH] for i in range(0, len(items), native.BATCH)]


def written(items: Sequence[Item]) -> list[list[bytes]]:
    """Return ``items`` as the messages in which they travel."""
    return [native.encode(batch) for batch in in_batches(items)]
