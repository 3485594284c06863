"""The ends of calls for their callers: a response, whole or in parts, or a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..bounds import MIN_BODY_BYTES, find_oversize_response
from ..hook_values import Event
from ..messages import problem
from ..wire.items import Response, body_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..errors import Executed
    from ..messages import Response as Outcome
    from ..wire.items import Body
    from .calls import Calls, Flight
    from .outbox import Context

__all__ = [
    "UNREAD",
    "Replies",
    "busy",
    "draining",
    "expiry",
    "in_words",
    "lost",
    "refusal",
    "unread",
]


#: The maximum ``retry-after-ms`` of a call that was refused because it would be late; usually it is
#: the time that the call would have waited.
MAX_RETRY_AFTER: Final = 10_000

#: A constant of this module, because compiled code looks up imported names for each call.
_RESPONSE: Final = Response

UNREAD: Final = "the client does not read its responses"

#: The maximum number of calls of a lost worker that the log line names.
NAMED: Final = 3


def refusal(
    flight: Flight,
    status: int,
    detail: str | None,
    *,
    executed: Executed | None = None,
    headers: Mapping[str, str] | None = None,
) -> Outcome:
    """Return a problem document about ``flight``.

    ``executed``: if None, it is "no" if no worker ever got the call, else "maybe".
    """
    executed = executed or ("maybe" if flight.attempts else "no")
    request_id = flight.request_id
    return problem(status, detail, executed=executed, request_id=request_id, headers=headers)


def busy(flight: Flight, status: int, detail: str, *, retry_after_ms: int) -> Outcome:
    """Return a 429 or 503 that asks the caller to retry after ``retry_after_ms``."""
    return refusal(flight, status, detail, headers={"retry-after-ms": str(retry_after_ms)})


def draining(flight: Flight, *, retry_after_ms: int) -> Outcome:
    """Return the 503 of a draining broker."""
    detail = "this server is draining: call another"
    return busy(flight, 503, detail, retry_after_ms=retry_after_ms)


def expiry(flight: Flight) -> Outcome:
    """Return the 504 of a call whose deadline has passed, in the queue or at a worker."""
    return refusal(flight, 504, "deadline exceeded")


def lost(flight: Flight) -> Outcome:
    """Return the 502 of a call whose worker was lost."""
    detail = "the worker was lost while it had the call"
    if flight.deaths > 1:
        detail = f"{flight.deaths} workers were lost while they had the call: no other gets it"
    return refusal(flight, 502, detail, executed="maybe")


def in_words(held: Sequence[Flight]) -> str:
    """Return the calls of a lost worker as text: one of them may have ended the worker."""
    if not held:
        return ""
    named = [
        f"{flight.method} {flight.target.partition('?')[0]:.200} ({flight.request_id:.64})"
        for flight in held[:NAMED]
    ]
    if len(held) > NAMED:
        named.append(f"{len(held) - NAMED} more")
    return f"; it had {', '.join(named)}"


def unread(flight: Flight) -> Outcome:
    """Return the 502 of a call whose client does not read its responses."""
    return refusal(flight, 502, UNREAD, executed="maybe")


@final
class Replies:
    """Ends calls, and sends the responses to the callers through their ports."""

    def __init__(self, context: Context, calls: Calls) -> None:
        self._calls = calls
        self._counters = context.counters
        self._outbox = context.outbox
        self._retry_after_ms = context.limits.retry_after_ms

    def answer(
        self,
        flight: Flight,
        outcome: Outcome,
        gathered: Sequence[bytes] = (),
        *,
        taken: bool = True,
    ) -> None:
        """End a call with ``outcome``; ``gathered``: frames to send before its body."""
        body = body_of([*gathered, outcome.body]) if gathered else outcome.body
        item = _RESPONSE(flight.id, outcome.status, outcome.headers, body, taken)
        if flight.parts:
            item.parts = flight.parts  # so that the client notices if one is missing
        # Send first, because it may raise: if the call had ended without a response, its caller
        # would wait.
        flight.peer.end(item, flight.return_path)
        self.close(flight)

    def close(self, flight: Flight) -> None:
        """End a call without a response, because its caller has gone or a hook discards it."""
        self._calls.end(flight)
        flight.peer.forget_if_idle()

    def respond(self, flight: Flight, response: Outcome) -> None:
        """End a call with a response and its gathered parts; with a 500 if they are too large."""
        oversize: str | None = None
        worker = flight.worker
        if flight.gathered or worker is None or not worker.checks_sizes:
            oversize = self._find_oversize(flight, response)
        if flight.peer.is_slow:
            self.answer(flight, unread(flight))
        elif oversize is None:
            self.answer(flight, response, flight.gathered)
        else:
            self._note_oversize(flight, oversize)
            self.answer(flight, refusal(flight, 500, oversize, executed="maybe"))

    def begin(self, flight: Flight, response: Outcome) -> Outcome | None:
        """Send the head of a stream; return the outcome of the call if that is impossible."""
        if flight.peer.is_slow:
            return unread(flight)
        oversize = find_oversize_response(response, 0, flight.peer.takes)
        if oversize is not None:
            self._note_oversize(flight, oversize)
            return refusal(flight, 500, oversize, executed="maybe")
        flight.has_begun = True
        flight.peer.head(flight, response.status, response.headers)
        return None

    def part(self, flight: Flight, body: Body) -> Outcome | None:
        """Send a part of a response; return the outcome of the call if that fails, or None."""
        if flight.peer.is_slow:
            return unread(flight)
        fault = flight.peer.part(flight, body)
        if fault is None:
            return None
        self._note_oversize(flight, fault)
        return refusal(flight, 500, fault, executed="maybe")

    def refuse(self, flight: Flight, status: int, detail: str) -> None:
        """End a call with a 429 or 503."""
        self.refuse_with(flight, self.busy(flight, status, detail))

    def refuse_with(self, flight: Flight, outcome: Outcome) -> None:
        """End a call with ``outcome``, and count it as refused."""
        self._counters.refused += 1
        self.answer(flight, outcome)

    def refuse_late(self, flight: Flight, wait: float) -> None:
        """End a call with a 503: it would wait for ``wait`` seconds, and so end too late."""
        retry = max(self._retry_after_ms, min(int(wait * 1000), MAX_RETRY_AFTER))
        detail = f"service {flight.service.name} is overloaded: no response would be in time"
        self.refuse_with(flight, busy(flight, 503, detail, retry_after_ms=retry))

    def turn_away(self, flight: Flight) -> None:
        """End a call that no worker got with a 503: this broker drains, another may accept it."""
        self._counters.refused += 1
        outcome = draining(flight, retry_after_ms=self._retry_after_ms)
        self.answer(flight, outcome, taken=False)

    def busy(self, flight: Flight, status: int, detail: str) -> Outcome:
        """Return a 429 or 503 with the usual ``retry-after-ms``."""
        return busy(flight, status, detail, retry_after_ms=self._retry_after_ms)

    def _find_oversize(self, flight: Flight, response: Outcome) -> str | None:
        gathered = flight.gathered
        if gathered or flight.sent or len(response.body) > MIN_BODY_BYTES or response.headers:
            sent = sum(map(len, gathered)) + (0 if flight.window else flight.sent)
            return find_oversize_response(response, sent, flight.peer.takes)
        return None

    def _note_oversize(self, flight: Flight, detail: str) -> None:
        """Report, for the log, that a response or a part was too large."""
        path, _, _ = flight.target.partition("?")
        reason = f"{flight.method} {path}: {detail}; answered 500 (request {flight.request_id})"
        name = flight.worker.name if flight.worker is not None else ""
        self._outbox.events.append(Event("oversize", name, (flight.service.name,), reason))
