"""Runs the handlers of an app in a pool, as the worker of any process."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, final

import trio

from ..app.failures import answer_fault, is_ctrl_c
from ..beside import running
from ..bounds import MIN_BODY_BYTES, find_oversize_response
from ..headers import add_lower_case, no_headers
from ..later import Later
from ..messages import Response, problem
from ..wire.items import frames_of
from .pool import WorkerPool
from .served import Served, W
from .streams import Sink, Streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..app.application import App
    from ..messages import Request

__all__ = ["LocalWorker"]

ACCESS = logging.getLogger("trizmq.access")
LOGGER = logging.getLogger("trizmq.worker")

# Names in this module, which compiled code finds faster than a lookup for each call.
_SERVED: Final = Served
_no_headers: Final = no_headers
_add_lower_case: Final = add_lower_case

#: For a handler that raises a `trio.Cancelled` that it has stored or created.
STRAY: Final = "the handler raised trio.Cancelled, but was not cancelled"


@final
class LocalWorker(Generic[W]):
    """Runs the handlers of an app in a pool.

    Theory of operation. A call that was started finishes exactly once:

    - with the end of its handler, which frees its slot in the pool and in the engine;
    - if the handler has called ``reply_later``, the call is *owed*. It finishes with the late
      response, with an exception from the handler, or with the handler's end or `stop`,
      whichever of these two is later. Until then it keeps its slot in the engine, but a slot in
      the pool only while the handler runs.

    Args:
      app: handles requests; its `App.handle` raises only Cancelled, or KeyboardInterrupt.
      sink: receives the results.
      capacity: the number of handlers that may run at once.
      access_log: write one line for each call to the logger ``trizmq.access``.

    """

    def __init__(
        self,
        app: App,
        sink: Sink[W],
        *,
        capacity: int,
        access_log: bool,
    ) -> None:
        self._app = app
        self._finish = sink.finish
        self._part = sink.part
        self._takes = sink.takes
        self._flush = sink.act
        self._access_log = access_log
        self._owed: dict[W, tuple[Served[W], Later]] = {}
        self._owe = self._start_owing  # bound once, not for each request
        self._streams: Streams[W] = Streams(app, sink)
        self._pool: WorkerPool[W] = WorkerPool(self._handle, size=capacity, flush=sink.act)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run handlers until cancelled; then finish the remaining calls with None."""
        try:
            async with running(self._streams.run):
                await self._pool.run(task_status=task_status)
        finally:
            for flight in list(self._owed):
                self._end_owed(flight, None)

    def start(self, flights: Sequence[W]) -> None:
        """Start ``flights``; the engine has made sure that there is room."""
        self._pool.put(flights)

    def stop(self, flights: Sequence[W]) -> None:
        """Cancel the handlers of ``flights``; those that only wait are already marked as ended."""
        for flight in flights:
            if flight in self._owed:
                self._owed[flight][1].is_over = True
            if not self._pool.cancel(flight):
                self._end_owed(flight, None)

    def grant(self, flight: W, more: int) -> None:
        """Let the stream of ``flight`` send ``more`` further bytes."""
        self._streams.grant(flight, more)

    async def _handle(self, flight: W) -> None:
        request = self._request(flight)
        response, is_owed = None, False
        try:
            if not flight.ended:
                response = await self._app.handle(request)
                is_owed = response is None
                if response is not None and response.stream is not None:
                    response = await self._streams.send(flight, request, response)
            if leak := self._pool.leak_of(flight):
                response, is_owed = _fault(request, None, leak), False
        except BaseException as error:
            # Only the caller and the end of the pool may end a handler this way.
            if self._pool.is_cancelled(flight) or is_ctrl_c(error):
                raise
            response = _fault(request, error, STRAY)
        finally:
            later = request.later
            if later is None:
                self._end(flight, request, response)
            elif later.is_over or not is_owed:
                self._end_owed(flight, response)

    def _request(self, flight: W) -> Served[W]:
        path, _, query_string = flight.target.partition("?")
        headers = _no_headers()
        if flight.headers:
            _add_lower_case(headers, flight.headers)
        body: Any = flight.body
        frames: tuple[bytes, ...] = ()
        if type(body) is not bytes:
            frames = tuple(frames_of(body))
            body = b"".join(frames)
        request = _SERVED(  # positional where possible, at half the cost
            flight.method,
            path,
            query_string,
            headers,
            body,
            {},
            flight.principal,
            flight.deadline,
            flight.request_id,
            "",
            frames,
            flight=flight,
            owe=self._owe,
        )
        if self._access_log:
            request.began = trio.current_time()
        return request

    def _end(self, flight: W, request: Served[W], response: Response | None) -> None:
        if response is not None and (len(response.body) > MIN_BODY_BYTES or response.headers):
            response = self._fitting(request, response)
        if self._access_log:
            _log_access(request, response, trio.current_time() - request.began)
        self._finish(flight, response)

    def _fitting(self, request: Served[W], response: Response) -> Response:
        """Return ``response``, or a 500 if it exceeds the limits of its receiver.

        Sent unchanged, it would end the connection, and with it the calls of other clients.
        """
        sent = request.later.sent if request.later is not None else 0
        too_large = find_oversize_response(response, sent, self._takes(request.flight))
        if too_large is None:
            return response
        LOGGER.error(
            "%s %s: %s; the response is a 500 (request %s)",
            request.method,
            request.route,
            too_large,
            request.request_id,
        )
        return problem(500, too_large, executed="maybe", request_id=request.request_id or None)

    # -- later ---------------------------------------------------------------------------

    def _start_owing(self, request: Served[W]) -> Later:
        later = Later(partial(self._acknowledge, request), partial(self._answer, request))
        if request.flight.ended:  # for example in a thread that has outlived its call
            later.is_over = True
        else:
            self._owed[request.flight] = request, later
        return later

    def _acknowledge(self, request: Served[W], data: bytes) -> None:
        if request.method == "HEAD":
            return
        assert request.later is not None
        if request.later.sent > self._takes(request.flight).body_bytes:
            self._end_owed(request.flight, Response(200))  # `_end` finds that it is too large
        else:
            self._part(request.flight, data)
        self._flush()

    def _answer(self, request: Served[W], outcome: object) -> None:
        response = problem(502, "the late response was cancelled", executed="maybe")
        try:
            response = self._app.answer_late(request, outcome)
        finally:  # also if the outcome is a cancellation, which is raised again
            self._end_owed(request.flight, response)
            self._flush()

    def _end_owed(self, flight: W, response: Response | None) -> None:
        """Finish ``flight`` if its response is still owed."""
        if flight in self._owed:
            request, later = self._owed.pop(flight)
            later.is_over = True
            if response is not None:  # parts that were sent ahead count, too
                response = self._fitting(request, response)
            self._end(flight, request, response)


def _fault(request: Request, error: BaseException | None, why: str) -> Response:
    response = answer_fault(error, request, "maybe", why)
    return response if request.method != "HEAD" else Response(500, response.headers, b"")


def _log_access(request: Request, response: Response | None, seconds: float) -> None:
    ACCESS.info(
        "%s %s",
        request.method,
        request.path,
        extra={
            "request_id": request.request_id,
            "method": request.method,
            "route": request.route,
            "status": response.status if response is not None else "cancelled",
            "duration_ms": round(seconds * 1000, 3),
        },
    )
