"""The client for code without an event loop: scripts, Django, Flask, any number of threads."""

from __future__ import annotations

import os
import sys
import threading
import time
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, final
from weakref import WeakSet

from ..errors import Unreachable
from ..limits import limits_of
from ..settings import DEFAULTS
from ..transport.endpoints import split_endpoints
from .requests import Details, RequestMaker
from .thread import ClientThread
from .trio_client import DEFAULT_SECONDS, MAX_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from ..messages import Response

__all__ = ["SyncClient", "SyncDetails"]


#: How long ``with`` waits for the thread.
START_SECONDS: Final = 10.0


class SyncDetails(Details, total=False):
    """What a call may have besides method and target: `Details`, and a timeout.

    Attributes:
      timeout: seconds, more than 0, 30 by default; it travels with the call, and the handler
        is cancelled when it has passed. At most an hour, which None and infinity mean, too.

    """

    timeout: float | None


@final
class SyncClient:
    """Calls services from ordinary code: ``with trizmq.SyncClient() as client:``.

    Any number of threads may share one client, and with it one connection. The ``with``
    block owns one thread, which runs Trio. A call made while no server is there waits.

    A call ends a second after its timeout at the latest, whatever happens. After a fork the
    child makes a connection of its own, at its first call; the parent's goes on. So does a
    client whose thread has died. It needs real threads: gevent's and eventlet's are refused.

    Args:
      connect: endpoints of brokers, separated by commas: the first that is up is used.
      token: sent with each call, as ``authorization: Bearer``.
      timeout: of each call that has none of its own, in seconds.
      limits: of responses, as for `open_client`.

    Raises in every method that calls:
      Unreachable: nobody answered in time, or the broker, or this client's thread, was lost.
      DeadlineExceeded: the timeout passed.
      Overloaded: too many calls wait in this client.
      LocalProtocolError: target, query, headers or body are not what a call can carry.
      TypeError: a keyword is not known, or ``json`` is no JSON.
      ValueError: the timeout is not more than 0.
      RuntimeError: outside the ``with`` block.

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
        self._lock = threading.Lock()  # held while a thread is started
        _CLIENTS.add(self)

    def __enter__(self) -> Self:
        """Start the thread.

        Raises:
          ConfigError: ``connect`` is no endpoint.
          Unreachable: the thread cannot start, or has no descriptors left.
          RuntimeError: this client is in use; or gevent or eventlet has replaced threads.

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
        """End the thread, and with it what is still in flight in other threads."""
        self._is_open = False
        with self._lock:  # a thread that is being started, by another, is up first
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def _started(self, timeout: float) -> ClientThread:
        """Return a thread that runs: a new one, if there is none or it has ended."""
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
        """Drop the thread, which is the parent's: this process is a forked child."""
        self._lock = threading.Lock()
        thread, self._thread = self._thread, None
        if thread is not None:
            _INHERITED.append(thread)

    def request(self, method: str, target: str, **details: Unpack[SyncDetails]) -> Response:
        """Call ``method`` on ``target``, and block until it has ended.

        Args:
          method: in any case: ``"GET"``.
          target: starts with ``/``; its first segment is the service.
          details: ``query``, ``headers``, ``body`` or ``json``, ``timeout``: see `SyncDetails`.

        """
        if not self._is_open:
            raise RuntimeError("use this client inside its with block")
        _refuse_green_threads()  # a worker of gunicorn's replaces threads after its fork
        timeout = _seconds(details.pop("timeout")) if "timeout" in details else self._timeout
        pending = self._maker.make(method, target, details, deadline=timeout, is_timed=True)
        ends_at = time.monotonic() + timeout
        thread = self._thread
        if thread is None or thread.has_ended:
            thread = self._started(timeout)
        return thread.call(pending, ends_at)

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
    if not seconds > 0:  # so is NaN
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


#: Threads of the parent, and what they hold: never closed here, for their sockets are its own.
_INHERITED: Final[list[ClientThread]] = []


def _forget_parents_threads() -> None:
    for client in list(_CLIENTS):
        client._forget_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents_threads)
