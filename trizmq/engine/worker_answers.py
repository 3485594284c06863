"""What workers answer, made the ends of the calls that they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ..errors import LocalProtocolError
from ..messages import Headers, no_headers
from ..messages import Response as Outcome
from ..names import are_fields_normal, check_fields
from ..wire.items import Response, frames_of
from . import refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from .counters import Counters
    from .dispatcher import Dispatcher
    from .records import Flight

__all__ = ["WorkerAnswers"]


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
