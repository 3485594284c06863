"""The worker in the broker's own process: its transport is a function call."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, final

import trio

from ..engine.records import Flight, Worker
from ..messages import Headers, Request, Response
from ..wire.items import frames_of
from .pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..app.application import App

__all__ = ["LocalWorker"]

ACCESS = logging.getLogger("trizmq.access")


@final
class LocalWorker:
    """Runs an app's handlers in a pool.

    Args:
      app: answers requests; its `App.handle` never raises but when cancelled.
      capacity: how many handlers may run at once.
      finish: told of the end of each call once: (flight, response), None if cancelled.
      flush: called when what was told should be sent.
      access_log: write one line a call, to the logger ``trizmq.access``.

    """

    def __init__(
        self,
        app: App,
        *,
        capacity: int,
        finish: Callable[[Flight, Response | None], None],
        flush: Callable[[], object],
        access_log: bool,
    ) -> None:
        self.record = Worker(tuple(sorted(app.services)), capacity)
        self._app = app
        self._finish = finish
        self._pool: WorkerPool[Flight] = WorkerPool(
            self._handle_logged if access_log else self._handle, size=capacity, flush=flush
        )
        self.run = self._pool.run

    def start(self, flights: Sequence[Flight]) -> None:
        """Take ``flights``; the broker has seen to it that there is room."""
        self._pool.put(flights)

    def stop(self, flights: Sequence[Flight]) -> None:
        """Cancel the handlers of ``flights``; what only waits is marked as ended already."""
        for flight in flights:
            self._pool.cancel(flight)

    async def _handle(self, flight: Flight) -> None:
        response = None
        try:
            if not flight.ended:
                response = await self._app.handle(_request(flight))
        finally:
            self._finish(flight, response)

    async def _handle_logged(self, flight: Flight) -> None:
        response, request = None, _request(flight)
        began = trio.current_time()
        try:
            if not flight.ended:
                response = await self._app.handle(request)
        finally:
            _log_access(request, response, trio.current_time() - began)
            self._finish(flight, response)


def _request(flight: Flight) -> Request:
    call = flight.call
    path, _, query_string = call.target.partition("?")
    request = Request(
        method=call.method,
        path=path,
        query_string=query_string,
        headers=Headers(call.headers),
        body=call.body if type(call.body) is bytes else b"".join(frames_of(call.body)),
        deadline=flight.deadline,
        request_id=flight.request_id,
    )
    if type(call.body) is not bytes:
        request.body_frames = tuple(frames_of(call.body))
    return request


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
