"""Streams on the worker's side: the credit of each, and the task that sends its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar, final

import trio

from ..bounds import UNBOUNDED
from ..wire.items import PART_OVERHEAD
from .served import Served, W

if TYPE_CHECKING:
    from ..app.application import App
    from ..app.streams import Stream
    from ..messages import Response
    from ..wire.items import Takes

__all__ = ["Sink", "Streams"]

#: The record of a call, as for `W`.
K = TypeVar("K", contravariant=True)

#: A stream whose parts are there at once lets other tasks run after this many parts or bytes.
PARTS_A_PASS: Final = 32
BYTES_A_PASS: Final = 64 * 1024

#: How long the ``finally`` blocks of a generator may take after its stream has ended, in seconds.
CLOSING_SECONDS: Final = 5.0


@final
class _Flow:
    """The bytes that one stream may still send."""

    def __init__(self, credit: int) -> None:
        self.credit = credit
        self._waiter: trio.lowlevel.Task | None = None

    def grant(self, more: int) -> None:
        self.credit += more
        if self._waiter is not None and self.credit > 0:
            trio.lowlevel.reschedule(self._waiter)
            self._waiter = None

    async def wait(self) -> None:
        """Wait for credit; the task that sends is the only caller."""

        def abort(_: object) -> trio.lowlevel.Abort:
            self._waiter = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._waiter = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)


class Sink(Protocol[K]):
    """The driver that runs a worker, as the receiver of its results."""

    def finish(self, flight: K, response: Response | None, /) -> None:
        """End a call with its response, or with None if it was cancelled; called once for each."""

    def begin(self, flight: K, head: Response, /) -> None:
        """Send the head of a streamed response."""

    def part(self, flight: K, body: bytes, /) -> None:
        """Send a part of a response that has not ended."""

    def takes(self, flight: K, /) -> Takes:
        """Return the size limits for the response."""

    def act(self) -> None:
        """Send the results that have not been sent."""


@final
class Streams(Generic[W]):
    """Sends streamed responses, each in the task that has run its handler.

    One task opens, iterates and closes a generator. Otherwise a cancel scope or a nursery around
    its ``yield`` would affect other tasks, and a ``finally`` could run cancelled.

    """

    def __init__(self, app: App, sink: Sink[W]) -> None:
        self._app = app
        self._sink = sink
        self._flows: dict[W, _Flow] = {}
        self._flusher: trio.lowlevel.Task | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send the parts of each scheduler pass together, until cancelled."""

        def forget(_: object) -> trio.lowlevel.Abort:
            self._flusher = None
            return trio.lowlevel.Abort.SUCCEEDED

        task_status.started()
        while True:
            self._flusher = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(forget)
            self._sink.act()

    def _flush_soon(self) -> None:
        if self._flusher is not None:
            trio.lowlevel.reschedule(self._flusher)
            self._flusher = None

    def grant(self, flight: W, more: int) -> None:
        """Let ``flight`` send ``more`` further bytes, if it is still a stream."""
        flow = self._flows.get(flight)
        if flow is not None:
            flow.grant(more)

    async def send(self, flight: W, request: Served[W], response: Response) -> Response:
        """Send the parts of ``response``, and return the end of the stream.

        That is an error response if the stream has failed.
        """
        stream: Stream = response.stream
        failure: Exception | None = None
        self._flows[flight] = flow = _Flow(flight.window or UNBOUNDED)
        try:
            if flight.window:
                self._sink.begin(flight, response)
                self._flush_soon()
            await self._send_parts(flight, flow, stream)
        except Exception as error:
            failure = error
        finally:
            del self._flows[flight]
            deadline = trio.current_time() + CLOSING_SECONDS
            with trio.CancelScope(shield=True, deadline=deadline):
                try:
                    await stream.aclose()
                except Exception as error:
                    failure = failure or error
        if failure is not None:
            return self._app.answer_late(request, failure)
        return type(response)(response.status, response.headers)

    async def _send_parts(self, flight: W, flow: _Flow, stream: Stream) -> None:
        most = self._sink.takes(flight).body_bytes
        count = size = total = 0
        async for part in stream:
            length = len(part)
            total += length
            if length > most or (total > most and not flight.window):
                raise ValueError(f"the parts of the response are larger than {most} bytes")
            if flow.credit <= 0:
                await flow.wait()
                count = size = 0
            flow.credit -= length + PART_OVERHEAD
            self._sink.part(flight, part)
            self._flush_soon()
            count += 1
            size += length
            if count >= PARTS_A_PASS or size >= BYTES_A_PASS:
                count = size = 0
                await trio.lowlevel.checkpoint()
