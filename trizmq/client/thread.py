"""A thread that runs Trio and a connection for other threads."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from ctypes import py_object, pythonapi
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

import trio

from ..errors import ConfigError, DeadlineExceeded, Unreachable
from ..transport.zeromq import ZmqTransport
from .connection import Connection
from .streams import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..errors import Executed
    from ..limits import Limits
    from ..messages import Response
    from .links import Pending
    from .readers import Reader

__all__ = ["ClientThread"]

LOGGER = logging.getLogger("trizmq.client")

#: The remains of each Trio that died in its thread, kept permanently.
_REMAINS: Final[list[BaseException | None]] = []

#: Seconds that a caller waits after its deadline for the thread to report that it has passed.
GRACE: Final = 1.0

#: Seconds that the thread may take to end; after that it continues by itself, without calls.
STOP_SECONDS: Final = 5.0


@final
class ClientThread:
    """One run of a connection. Every wait in a calling thread is bounded.

    When the thread ends, for any reason, all of its calls end with an error, and it accepts no
    others: see `has_ended`.
    """

    def __init__(self, endpoints: Sequence[str], limits: Limits) -> None:
        self.has_ended = False
        self._endpoints = endpoints
        self._limits = limits
        self._calls: set[Future[Any]] = set()
        self._is_up: Future[None] = Future()
        self._run_soon: Callable[..., None] | None = None
        self._stop = trio.CancelScope()
        self._connection: Connection | None = None
        self._transport: ZmqTransport | None = None
        self._thread = threading.Thread(target=self._run, name="trizmq client", daemon=True)

    def start(self, timeout: float) -> None:
        """Start the thread, and wait until calls can be made.

        Raises:
          Unreachable: if it could not start, or did not within ``timeout`` seconds.
          ConfigError: if an endpoint is invalid.

        """
        try:
            self._thread.start()
            self._is_up.result(timeout)
        except ConfigError:
            raise
        except TimeoutError:
            self._is_up.cancel()
            raise Unreachable("this client's thread does not start", executed="no") from None
        except Exception as error:
            why = f"this client cannot start: {_words(error)}"
            raise Unreachable(why, executed="no") from error

    def call(self, pending: Pending, ends_at: float) -> Response:
        """Make a call, and wait for its end.

        Args:
          pending: the call.
          ends_at: the deadline, on the clock `time.monotonic`.

        """
        ended: Future[Response] = Future()
        self._calls.add(ended)  # first, so that it ends when the thread does
        try:
            if self.has_ended:
                raise _gone("no")
            self._tell(self._begin, pending, ended, ends_at)
            return ended.result(max(0.0, ends_at - time.monotonic()) + GRACE)
        except (trio.RunFinishedError, CancelledError):
            raise _gone("no") from None
        except TimeoutError:
            if ended.done():
                return ended.result()
            raise self._late(pending, ended) from None
        except BaseException:  # for example KeyboardInterrupt: the handler should stop
            self._give_up(pending, ended)
            raise
        finally:
            self._calls.discard(ended)

    def open_stream(self, reader: Reader, timeout: float) -> None:
        """Make a call with a streamed response, and wait for its head.

        Raises: the same as `read`, or what another call raises.

        """
        try:
            self._wait(partial(self._begin_stream, reader), reader.pending, timeout)
        except BaseException:
            self.leave(reader.pending)
            raise

    def read(self, reader: Reader, timeout: float) -> list[bytes]:
        """Wait for parts of a stream; an empty list is the end.

        Raises:
          DeadlineExceeded: if none arrived within ``timeout`` seconds.
          CallError, RemoteProtocolError: the stream has ended with this error.

        """
        return self._wait(partial(self._read, reader), reader.pending, timeout)

    def leave(self, pending: Pending) -> None:
        """End a stream, if it has not ended."""
        with suppress(trio.RunFinishedError):
            self._tell(self._cancel, pending)

    def _wait(
        self,
        action: Callable[[Future[list[bytes]]], object],
        pending: Pending,
        timeout: float,
    ) -> list[bytes]:
        parts: Future[list[bytes]] = Future()
        self._calls.add(parts)
        try:
            if self.has_ended:
                raise _gone("maybe")
            self._tell(action, parts)
            return parts.result(timeout)
        except (trio.RunFinishedError, CancelledError):
            raise _gone("maybe") from None
        except TimeoutError:
            if not parts.cancel():  # it is about to have a result
                return parts.result(GRACE)
            late = f"{pending.method} {pending.target}: nothing arrived within {timeout:g} s"
            raise DeadlineExceeded(late, executed="maybe") from None
        finally:
            parts.cancel()  # if this thread was interrupted
            self._calls.discard(parts)

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End the thread and the calls of other threads; wait for at most ``timeout`` seconds."""
        self._is_up.cancel()
        with suppress(trio.RunFinishedError):
            self._tell(self._stop.cancel)
        if self._thread.ident is not None:
            self._thread.join(timeout)
        self._end_calls()

    # -- in the calling thread -----------------------------------------------------------

    def _late(self, pending: Pending, ended: Future[Response]) -> DeadlineExceeded:
        """Return the error for a call whose deadline has passed without an outcome."""
        if not self._thread.is_alive():
            self.has_ended = True  # an exception from outside has prevented it from setting this
        is_begun = not self._give_up(pending, ended)
        executed: Executed = "maybe" if is_begun else "no"
        words = (
            f"{pending.method} {pending.target}: no response in time; the client's thread is stuck"
        )
        return DeadlineExceeded(words, executed=executed)

    def _give_up(self, pending: Pending, ended: Future[Response]) -> bool:
        """Cancel a call; return whether it had not begun, and never will."""
        if ended.cancel():
            return True
        if not ended.done():
            with suppress(trio.RunFinishedError):
                self._tell(self._cancel, pending)
        return False

    def _tell(self, action: Callable[..., object], *given: Any) -> None:
        """Let the thread call ``action``.

        Raises:
          trio.RunFinishedError: if the thread is not running yet, or has ended.

        """
        if self._run_soon is None:
            raise trio.RunFinishedError
        try:
            self._run_soon(action, *given)
        except OSError:  # Trio itself died in the thread, and its descriptors are closed
            raise trio.RunFinishedError from None

    # -- in the thread itself ------------------------------------------------------------

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            trio.run(self._serve)
        except BaseException as raised:  # reported to the callers
            error = raised
        finally:
            self.has_ended = True
            self._end_calls()
        if self._transport is not None:
            # Trio itself died, and its tasks have not ended. If they were garbage-collected, they
            # would run in another thread, and confuse the Trio that runs there.
            _keep(error)
            self._transport.abandon()
        if not self._is_up.done():
            self._is_up.set_exception(error or RuntimeError("it ended at once"))
        elif error is not None:
            told = "the thread of a SyncClient died, the next call starts another: %s"
            LOGGER.error(told, _words(error), exc_info=error)

    async def _serve(self) -> None:
        transport = self._transport = ZmqTransport(max_frame=self._limits.frame_bytes)
        try:
            takes = self._limits.takes
            connection = self._connection = Connection(transport, self._endpoints, takes)
            with self._stop:
                # First, because a caller that cannot cancel the start uses it to stop the thread.
                self._run_soon = trio.lowlevel.current_trio_token().run_sync_soon
                if self._is_up.set_running_or_notify_cancel():  # otherwise no caller is waiting
                    self._is_up.set_result(None)
                    await connection.run()
        finally:
            self.has_ended = True  # closing takes a moment, and the next call need not wait for it
            await transport.aclose()
            self._transport = None

    def _begin(self, pending: Pending, ended: Future[Response], ends_at: float) -> None:
        if not ended.set_running_or_notify_cancel():
            return
        assert self._connection is not None
        now = trio.current_time()
        pending.deadline = now + (ends_at - time.monotonic())
        pending.waiter = partial(_settle, pending, ended)
        try:
            self._connection.submit(pending, now)
        except trio.ClosedResourceError:
            ended.set_exception(_gone("no"))
        except Exception as error:  # for the thread that made the call
            ended.set_exception(error)

    def _begin_stream(self, reader: Reader, parts: Future[list[bytes]]) -> None:
        assert self._connection is not None
        now, pending = trio.current_time(), reader.pending
        pending.deadline = now + FOREVER
        pending.waiter = reader.wake
        try:
            self._connection.submit(pending, now)
            reader.read(parts)
        except trio.ClosedResourceError:
            parts.set_exception(_gone("no"))
        except Exception as error:  # for the thread that made the call
            parts.set_exception(error)

    def _read(self, reader: Reader, parts: Future[list[bytes]]) -> None:
        assert self._connection is not None
        if more := reader.read(parts):
            self._connection.grant(reader.pending, more)

    def _cancel(self, pending: Pending) -> None:
        assert self._connection is not None
        self._connection.cancel([pending])

    def _end_calls(self) -> None:
        for ended in self._calls.copy():
            if not ended.cancel():  # it had begun
                with suppress(InvalidStateError):
                    ended.set_exception(_gone("maybe"))


def _settle(pending: Pending, ended: Future[Response]) -> None:
    outcome, pending.outcome = pending.outcome, None
    with suppress(InvalidStateError):  # its caller already has an error
        if isinstance(outcome, Exception):
            ended.set_exception(outcome)
        elif outcome is not None:
            ended.set_result(outcome)


def _gone(executed: Executed) -> Unreachable:
    return Unreachable("this client was closed, or its thread has died", executed=executed)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _keep(error: BaseException | None) -> None:
    """Keep the remains of a Trio, which ``error`` refers to, past the end of the interpreter.

    Otherwise they would be garbage-collected after the modules that they need, and crash.
    """
    if not _REMAINS:
        pythonapi.Py_IncRef(py_object(_REMAINS))
    _REMAINS.append(error)
