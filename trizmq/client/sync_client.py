"""The client for code without an event loop: scripts, Django, Flask, any number of threads."""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, final
from weakref import WeakSet

from ..errors import Unreachable
from ..limits import limits_of
from ..settings import DEFAULTS
from ..transport.endpoints import split_endpoints
from .requests import Details, RequestMaker
from .streams import DEFAULT_WINDOW
from .sync_streams import SyncResponseStream, SyncStreamedCall
from .thread import ClientThread
from .trio_client import DEFAULT_SECONDS, MAX_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from ..messages import Response

__all__ = ["SyncClient", "SyncDetails"]

#: Seconds that ``with`` waits for the thread to start.
START_SECONDS: Final = 10.0


class SyncDetails(Details, total=False):
    """The arguments of a call besides method and target: `Details`, and a timeout.

    Attributes:
      timeout: seconds, more than 0, by default 30. It travels with the call, and the handler is
        cancelled when it has passed. The maximum is an hour, also for None and infinity.

    """

    timeout: float | None


@final
class SyncClient:
    """Calls services from code without an event loop: ``with trizmq.SyncClient() as client:``.

    Any number of threads may share one client, and with it one connection. The ``with`` block
    owns one thread, which runs Trio. A call made while no server is available waits for one.

    A call ends at most a second after its timeout, whatever happens. After a fork, the child
    opens its own connection at its first call; the parent's connection is not affected. A client
    whose thread has died does the same. It needs real threads: gevent's and eventlet's are refused.

    Args:
      connect: endpoints of brokers, separated by commas: the first available one is used.
      token: sent with each call, as ``authorization: Bearer``.
      timeout: in seconds, for calls without their own timeout.
      limits: limits on responses, as in `open_client`.

    Raises in every method that calls:
      Unreachable: no broker responded in time, or the broker, or this client's thread, was lost.
      DeadlineExceeded: the timeout passed.
      Overloaded: too many calls are waiting in this client.
      LocalProtocolError: target, query, headers or body are invalid.
      TypeError: a keyword is unknown, or ``json`` cannot be encoded.
      ValueError: the timeout is not more than 0.
      RuntimeError: the call was made outside the ``with`` block.

    """

    def __init__(
        self,
        connect: str = DEFAULTS.connect,
        *,
        token: str | None = None,
        timeout: float | None = DEFAULT_SECONDS,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        self._endpoints = split_endpoints(connect)
        self._maker = RequestMaker(token)
        self._timeout = _seconds(timeout)
        self._limits = limits_of(limits or {})
        self._is_open = False
        self._thread: ClientThread | None = None
        self._lock = threading.Lock()  # held while a thread is starting
        _CLIENTS.add(self)

    def __enter__(self) -> Self:
        """Start the thread.

        Raises:
          ConfigError: if ``connect`` is not an endpoint.
          Unreachable: if the thread cannot start, or there are no descriptors left.
          RuntimeError: if this client is in use, or gevent or eventlet has replaced threads.

        """
        if self._is_open:
            raise RuntimeError("this client is in use: open another one")
        _refuse_green_threads()
        self._is_open = True
        try:
            self._started(START_SECONDS)
        except BaseException:
            self._is_open = False
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the thread, and with it the calls in flight in other threads."""
        self._is_open = False
        with self._lock:  # wait for another thread that is starting it
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def _started(self, timeout: float) -> ClientThread:
        """Return a running thread; start a new one if there is none, or it has ended."""
        if not self._lock.acquire(timeout=timeout):
            raise Unreachable("this client's thread does not start", executed="no")
        try:
            if not self._is_open:
                raise RuntimeError("use this client inside its with block")
            thread = self._thread
            if thread is None or thread.has_ended:
                thread = ClientThread(self._endpoints, self._limits)
                try:
                    thread.start(timeout)
                except BaseException:
                    thread.stop(0)  # the caller has no time left
                    raise
                self._thread = thread
            return thread
        finally:
            self._lock.release()

    def _forget_thread(self) -> None:
        """Drop the thread, which belongs to the parent: this process is a forked child."""
        self._lock = threading.Lock()
        thread, self._thread = self._thread, None
        if thread is not None:
            _INHERITED.append(thread)

    def request(self, method: str, target: str, **details: Unpack[SyncDetails]) -> Response:
        """Call ``method`` on ``target``, and block until the call has ended.

        Args:
          method: in upper or lower case: ``"GET"``.
          target: starts with ``/``; its first segment is the service.
          details: ``query``, ``headers``, ``body`` or ``json``, ``timeout``: see `SyncDetails`.

        """
        timeout = self._timeout_of(details)
        pending = self._maker.make(method, target, details, deadline=timeout, is_timed=True)
        ends_at = time.monotonic() + timeout
        thread = self._thread
        if thread is None or thread.has_ended:
            thread = self._started(timeout)
        return thread.call(pending, ends_at)

    def stream(
        self,
        method: str,
        target: str,
        *,
        window: int = DEFAULT_WINDOW,
        **details: Unpack[SyncDetails],
    ) -> AbstractContextManager[SyncResponseStream]:
        """Call ``method`` on ``target``, and read the response in parts, as they arrive.

        ::

            with client.stream("GET", "/events") as response:
                for part in response: ...

        The block begins with the status and the headers. Leaving it cancels the handler, unless
        the stream has ended. The timeout applies to the head, and to each part again.

        Args:
          method: in upper or lower case: ``"GET"``.
          target: starts with ``/``; its first segment is the service.
          window: bytes that may arrive before they are read; then the handler waits at its
            ``yield``. Each part counts as its size and 128 bytes.
          details: ``query``, ``headers``, ``body`` or ``json``, ``timeout``: see `SyncDetails`.

        Returns:
          A context manager, whose value is a `SyncResponseStream`. It raises what other calls
          raise, and also LocalProtocolError if ``window`` is less than 1.

        """
        timeout = self._timeout_of(details)
        pending = self._maker.make(method, target, details, deadline=timeout, is_timed=False)
        return SyncStreamedCall(partial(self._started, timeout), pending, window, timeout)

    def _timeout_of(self, details: SyncDetails) -> float:
        """Remove the timeout of a call from ``details``, and return it."""
        if not self._is_open:
            raise RuntimeError("use this client inside its with block")
        _refuse_green_threads()  # gunicorn's workers replace threads after a fork
        return _seconds(details.pop("timeout")) if "timeout" in details else self._timeout

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


def _seconds(timeout: Any) -> float:
    if timeout is None:
        return MAX_SECONDS
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        kind = type(timeout).__name__
        raise TypeError(f"a timeout is a number of seconds, or None, not of type {kind}")
    seconds: Any = timeout
    if not seconds > 0:  # true for NaN, too
        raise ValueError(f"a timeout is more than 0 seconds, not {timeout!r}")
    return float(min(seconds, MAX_SECONDS))


def _refuse_green_threads() -> None:
    patched = {
        "gevent": _is_patched("gevent.monkey", "is_module_patched", "threading", "select"),
        "eventlet": _is_patched("eventlet.patcher", "is_monkey_patched", "thread", "select"),
    }
    for library, is_patched in patched.items():
        if is_patched:
            raise RuntimeError(
                f"SyncClient needs real threads, and {library} has replaced them. Patch without "
                "thread and select, or call with a REQ socket of pyzmq's zmq.green"
            )


def _is_patched(module: str, question: str, *parts: str) -> bool:
    asked = getattr(sys.modules.get(module), question, None)
    return asked is not None and any(map(asked, parts))


_CLIENTS: Final[WeakSet[SyncClient]] = WeakSet()

#: Threads of the parent, with their sockets, which must never be closed in this process.
_INHERITED: Final[list[ClientThread]] = []


def _forget_parents_threads() -> None:
    for client in list(_CLIENTS):
        client._forget_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents_threads)
