"""The reading side of streamed responses, for all kinds of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, final

from ..headers import Headers
from ..messages import Response
from .parts import Inflow

if TYPE_CHECKING:
    from concurrent.futures import Future

    from .links import Pending

__all__ = ["Reader", "StreamedResponse"]


class StreamedResponse:
    """The head of a response that is read in parts, for all kinds of clients."""

    def __init__(self, inflow: Inflow, pending: Pending) -> None:
        assert inflow.status is not None
        self.status: int = inflow.status
        self.headers: Headers = inflow.headers if inflow.headers is not None else Headers()
        self._inflow = inflow
        self._pending = pending

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        return Response(self.status, self.headers).content_type

    @property
    def is_error(self) -> bool:
        """Whether the status is 400 or more."""
        return self.status >= 400

    def raise_for_status(self) -> Self:
        """Return the response itself, or raise an error if the status is 400 or more.

        Raises:
          ResponseError: with the whole response if that has arrived, or else without a body.

        """
        if self.is_error:
            whole = self._pending.outcome
            if not isinstance(whole, Response):
                whole = Response(self.status, self.headers)
            whole.raise_for_status()
        return self


@final
class Reader:
    """Reads one stream in a client's thread for the thread that has made the call."""

    def __init__(self, pending: Pending, window: int) -> None:
        self.pending = pending
        self.inflow = pending.stream = Inflow(window, self.wake)
        self._waiting: Future[list[bytes]] | None = None
        self._has_begun = False

    def read(self, parts: Future[list[bytes]]) -> int:
        """Set the result of ``parts`` as soon as there are any; an empty list is the end.

        The first result, also an empty list, is the arrival of the head.

        Returns:
          The bytes to grant to the sender, because they were read.

        """
        self._waiting = parts
        self.wake()
        return self.inflow.take_credit()

    def wake(self) -> None:
        """Notify the calling thread, if it waits and there is something for it."""
        parts, inflow, outcome = self._waiting, self.inflow, self.pending.outcome
        is_news = inflow.has_parts or inflow.has_ended or self.pending.ended
        if parts is None or not (is_news or (inflow.status is not None and not self._has_begun)):
            return
        self._waiting = None
        if not parts.set_running_or_notify_cancel():
            return  # the calling thread does not wait any more, and the parts are for the next one
        if not self._has_begun and inflow.status is not None:
            self._has_begun = True
            parts.set_result([])
        elif inflow.has_parts:
            parts.set_result(inflow.take_all())
        elif isinstance(outcome, Exception):
            parts.set_exception(outcome)
        else:
            parts.set_result([])
