"""How a worker's answer becomes the caller's response, whole or in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from ..bounds import MIN_BODY_BYTES, find_oversize_response
from ..errors import LocalProtocolError
from ..messages import Headers, no_headers
from ..messages import Response as Outcome
from ..names import are_fields_normal, check_fields
from ..wire.items import MAX_BODY_FRAMES, Part, Response, body_of, frames_of
from . import refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..limits import Limits
    from ..wire.items import Body
    from .calls import Flight
    from .dispatcher import Dispatcher
    from .outbox import Counters, Outbox

__all__ = ["Replies", "WorkerAnswers"]

#: A name of this module, which compiled code finds at once; others it looks up for each call.
_RESPONSE: Final = Response


@final
class Replies:
    """Writes parts and ends. Parts for a client whose dialect has none are gathered."""

    def __init__(self, limits: Limits, outbox: Outbox) -> None:
        self._limits = limits
        self._takes = limits.takes
        self._outbox = outbox

    def end(
        self, flight: Flight, outcome: Outcome, gathered: Sequence[bytes], *, taken: bool
    ) -> Response:
        """Return how a call has ended; ``gathered`` are frames ahead of the body."""
        body = body_of([*gathered, outcome.body]) if gathered else outcome.body
        item = _RESPONSE(flight.id, outcome.status, outcome.headers, body, taken)
        if flight.parts:
            item.parts = flight.parts  # so that a caller who misses one notices
        return item

    def part(self, flight: Flight, body: Body) -> str | None:
        """Pass on a part of a response, or keep it; return what is wrong with its size, or None."""
        takes = flight.peer.takes or self._takes
        size = sum(map(len, frames_of(body)))
        # Our clients gather the parts, so that all of them are one body.
        if size + (flight.sent if flight.return_path is None else 0) > takes.body_bytes:
            return f"its parts are larger than {takes.body_bytes} bytes"
        if flight.return_path is None:
            flight.peer.was_told = True
            self._outbox.say(flight.peer.address, Part(flight.id, flight.parts, body))
            flight.parts += 1
            flight.sent += size
        elif flight.return_path.streams:
            frames = flight.return_path.encode(Part(flight.id, flight.parts, body))
            self._outbox.messages.append((flight.peer.address, frames))
            flight.parts += 1
        else:
            return self._gather(flight, frames_of(body))
        return None

    def _gather(self, flight: Flight, frames: list[bytes]) -> str | None:
        flight.gathered += frames
        most = self._limits.body_bytes
        # Their number too: an empty frame costs memory, and counting all of them time.
        if len(flight.gathered) >= MAX_BODY_FRAMES or sum(map(len, flight.gathered)) > most:
            return f"its parts are too many, or larger than {most} bytes"
        return None

    def find_oversize(self, flight: Flight, response: Outcome) -> str | None:
        """Return what is wrong with the size of a response and of the parts before it, or None."""
        gathered = flight.gathered
        if gathered or flight.sent or len(response.body) > MIN_BODY_BYTES or response.headers:
            takes = flight.peer.takes or self._takes
            sent = flight.sent + sum(map(len, gathered))
            return find_oversize_response(response, sent, takes)
        return None


@final
class WorkerAnswers:
    """Ends calls at workers on the backend; ``respond`` is asked to end those that went well."""

    def __init__(
        self,
        counters: Counters,
        dispatcher: Dispatcher,
        respond: Callable[[Flight, Outcome], None],
    ) -> None:
        self._counters = counters
        self._dispatcher = dispatcher
        self._respond = respond

    def finish(self, flight: Flight, item: Response) -> None:
        """End a call with what its worker says of it."""
        if flight.ended:
            self._counters.late += item.status >= 100 and not item.stopped
        elif item.stopped:
            # By its own clock the deadline has passed: ours would say so in a moment.
            self._counters.expired += 1
            self._dispatcher.answer(flight, refusals.expiry(flight))
        else:
            self._end_with(flight, item)
        self._dispatcher.release(flight, was_stopped=item.stopped)

    def _end_with(self, flight: Flight, item: Response) -> None:
        status = item.status
        try:
            fields = _checked(status, item.headers)
        except LocalProtocolError as error:
            self._counters.lost += 1
            detail = f"the worker answered with {error}"
            outcome = refusals.refusal(flight, 502, detail, executed="maybe")
            self._dispatcher.answer(flight, outcome)
        else:
            frames = frames_of(item.body)
            if status >= 400:
                flight.gathered.clear()  # what had been said before it failed
            flight.gathered += frames[:-1]  # so that their boundaries are kept
            self._respond(flight, Outcome(status, fields, frames[-1]))


def _checked(status: int, headers: dict[str, str]) -> Headers:
    if not 100 <= status <= 599:
        raise LocalProtocolError(f"the status {status}")
    if not headers:
        return no_headers()
    return Headers(headers if are_fields_normal(headers) else check_fields(headers.items()))
