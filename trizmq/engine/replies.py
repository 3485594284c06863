"""What clients are told of their calls, each along its way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..wire.items import MAX_BODY_FRAMES, Part, Response, body_of, frames_of
from .bounds import MIN_BODY_BYTES, find_oversize_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..messages import Response as Outcome
    from ..wire.items import Body
    from .limits import Limits
    from .outbox import Outbox
    from .records import Flight

__all__ = ["Replies"]


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
        item = Response(flight.id, outcome.status, outcome.headers, body, taken)
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
