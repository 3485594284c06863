"""The client for code without an event loop: scripts, Django, Flask, any number of threads."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Self, Unpack, final

import trio

from ..engine.limits import Limits
from ..transport.endpoints import split_endpoints
from ..transport.zeromq import ZmqTransport
from .client import DEFAULT_SECONDS
from .connection import Connection
from .requests import Details, RequestMaker

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ..engine.links import Pending
    from ..messages import Response

__all__ = ["SyncClient", "SyncDetails"]


class SyncDetails(Details, total=False):
    """What a call may have besides method and target: `Details`, and a timeout.

    Attributes:
      timeout: seconds, 30 by default; it travels with the call, and the handler is
        cancelled when it has passed.

    """

    timeout: float


@final
class SyncClient:
    """Calls services from ordinary code: ``with trizmq.SyncClient() as client:``.

    Any number of threads may share one client, and with it one connection. The ``with``
    block owns one thread, which runs Trio. A call made while no server is there waits.

    Args:
      connect: endpoints of brokers, separated by commas: the first that is up is used.
      token: sent with each call, as ``authorization: Bearer``.

    Raises in every method that calls:
      Unreachable: nobody answered in time, or the broker was lost with the call.
      DeadlineExceeded: the timeout passed.
      Overloaded: too many calls wait in this client.
      LocalProtocolError: target, headers or body are not what a call can carry.
      RuntimeError: outside the ``with`` block.

    """

    def __init__(self, connect: str = "tcp://127.0.0.1:5555", *, token: str | None = None) -> None:
        self._endpoints = split_endpoints(connect)
        self._maker = RequestMaker(token)
        self._thread: threading.Thread | None = None
        self._run_soon: Callable[..., None] | None = None
        self._connection: Connection | None = None
        self._stop = trio.CancelScope()

    def __enter__(self) -> Self:
        """Start the thread; raises ConfigError if ``connect`` is no endpoint."""
        if self._thread is not None:
            raise RuntimeError("this client is in use: open another one")
        is_up: Future[None] = Future()
        self._stop = trio.CancelScope()
        self._thread = threading.Thread(
            target=trio.run, args=(self._serve, is_up), name="trizmq client", daemon=True
        )
        self._thread.start()
        try:
            is_up.result()
        except BaseException:
            self._join()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the thread, and with it what is still in flight in other threads."""
        run_soon, self._run_soon = self._run_soon, None
        if run_soon is not None:
            run_soon(self._stop.cancel)
        self._join()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    async def _serve(self, is_up: Future[None]) -> None:
        transport = ZmqTransport(max_frame=Limits().frame_bytes)
        with self._stop:
            try:
                self._connection = Connection(transport, self._endpoints)
            except BaseException as error:  # belongs to who waits in __enter__
                is_up.set_exception(error)
            else:
                self._run_soon = trio.lowlevel.current_trio_token().run_sync_soon
                is_up.set_result(None)
                await self._connection.run()
        await transport.aclose()

    def request(self, method: str, target: str, **details: Unpack[SyncDetails]) -> Response:
        """Call ``method`` on ``target``, and block until it has ended.

        Args:
          method: in any case: ``"GET"``.
          target: starts with ``/``; its first segment is the service.
          details: ``query``, ``headers``, ``body`` or ``json``, ``timeout``: see `SyncDetails`.

        """
        run_soon = self._run_soon
        if run_soon is None:
            raise RuntimeError("use this client inside its with block")
        timeout = details.pop("timeout", DEFAULT_SECONDS)
        pending = self._maker.make(method, target, details, deadline=timeout, is_timed=True)
        ended: Future[Response] = Future()
        run_soon(self._start, pending, ended)
        try:
            return ended.result()
        except BaseException:  # KeyboardInterrupt, say: the handler is to stop
            if not ended.done() and self._run_soon is not None:
                run_soon(self._cancel, pending)
            raise

    def _start(self, pending: Pending, ended: Future[Response]) -> None:
        assert self._connection is not None
        now = trio.current_time()
        pending.deadline += now
        pending.waiter = partial(_settle, pending, ended)
        try:
            self._connection.submit(pending, now)
        except Exception as error:  # belongs to the thread that called
            ended.set_exception(error)

    def _cancel(self, pending: Pending) -> None:
        assert self._connection is not None
        self._connection.cancel([pending])

    def get(self, target: str, **details: Unpack[SyncDetails]) -> Response:
        """GET ``target``; see `request`."""
        return self.request("GET", target, **details)

    def head(self, target: str, **details: Unpack[SyncDetails]) -> Response:
        """HEAD ``target``; see `request`."""
        return self.request("HEAD", target, **details)

    def options(self, target: str, **details: Unpack[SyncDetails]) -> Response:
        """OPTIONS of ``target``; see `request`."""
        return self.request("OPTIONS", target, **details)

    def post(self, target: str, **details: Unpack[SyncDetails]) -> Response:
        """POST to ``target``; see `request`."""
        return self.request("POST", target, **details)

    def put(self, target: str, **details: Unpack[SyncDetails]) -> Response:
        """PUT ``target``; see `request`."""
        return self.request("PUT", target, **details)

    def patch(self, target: str, **details: Unpack[SyncDetails]) -> Response:
        """PATCH ``target``; see `request`."""
        return self.request("PATCH", target, **details)

    def delete(self, target: str, **details: Unpack[SyncDetails]) -> Response:
        """DELETE ``target``; see `request`."""
        return self.request("DELETE", target, **details)


def _settle(pending: Pending, ended: Future[Response]) -> None:
    outcome, pending.outcome = pending.outcome, None
    if isinstance(outcome, Exception):
        ended.set_exception(outcome)
    elif outcome is not None:
        ended.set_result(outcome)
