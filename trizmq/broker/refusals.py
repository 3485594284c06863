"""What the broker itself answers when a call has no response of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..messages import Response, problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..errors import Executed
    from .calls import Flight

__all__ = ["UNREAD", "busy", "draining", "expiry", "in_words", "lost", "refusal", "unread"]


UNREAD: Final = "the client does not read its responses"


#: Of what a lost worker had in hand, so many calls are named.
NAMED: Final = 3


def refusal(
    flight: Flight,
    status: int,
    detail: str | None,
    *,
    executed: Executed | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document about ``flight``.

    ``executed``: if None, what is known: "no" if no worker was ever given it.
    """
    executed = executed or ("maybe" if flight.attempts else "no")
    request_id = flight.request_id
    return problem(status, detail, executed=executed, request_id=request_id, headers=headers)


def busy(flight: Flight, status: int, detail: str, *, retry_after_ms: int) -> Response:
    """Return a 429 or 503: try again, in so many milliseconds."""
    return refusal(flight, status, detail, headers={"retry-after-ms": str(retry_after_ms)})


def draining(flight: Flight, *, retry_after_ms: int) -> Response:
    """Return the 503 of a broker that is about to end."""
    detail = "this server is draining: call another"
    return busy(flight, 503, detail, retry_after_ms=retry_after_ms)


def expiry(flight: Flight) -> Response:
    """Return the 504 of a call whose deadline has passed, in the queue or at a worker."""
    return refusal(flight, 504, "deadline exceeded")


def lost(flight: Flight) -> Response:
    """Return the 502 of a call whose worker has gone."""
    detail = "the worker was lost while it had the call"
    if flight.deaths > 1:
        detail = f"{flight.deaths} workers were lost while they had the call: no other is given it"
    return refusal(flight, 502, detail, executed="maybe")


def in_words(held: Sequence[Flight]) -> str:
    """Return what a lost worker had in hand: one of these calls may be what ended it."""
    if not held:
        return ""
    named = [
        f"{flight.method} {flight.target.partition('?')[0]:.200} ({flight.request_id:.64})"
        for flight in held[:NAMED]
    ]
    if len(held) > NAMED:
        named.append(f"{len(held) - NAMED} more")
    return f"; it had {', '.join(named)}"


def unread(flight: Flight) -> Response:
    """Return the 502 of a call whose response its client would not read."""
    return refusal(flight, 502, UNREAD, executed="maybe")
