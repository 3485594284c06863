"""The client for Trio: HTTP's methods over one ZeroMQ connection, many calls at once."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, Unpack, final

import trio
from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from ..current import current_deadline
from ..messages import Response
from .requests import Details, RequestMaker, StreamDetails
from .streams import ResponseStream, StreamedCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from .carrier import Carrier
    from .links import Pending

__all__ = ["DEFAULT_SECONDS", "Client"]

# Names in this module, which compiled code finds faster than a lookup for each call.
_RESPONSE: Final = Response
_partial: Final = partial
_checkpoint_if_cancelled: Final = checkpoint_if_cancelled
_current_effective_deadline: Final = trio.current_effective_deadline
_current_task: Final = current_task
_current_time: Final = trio.current_time
_reschedule: Final = reschedule
_wait_task_rescheduled: Final = wait_task_rescheduled

#: The deadline of a call whose caller has none, in seconds (promise P6).
DEFAULT_SECONDS: Final = 30.0
MAX_SECONDS: Final = 3600.0
NO_DETAILS: Final[Details] = {}


@final
class Client:
    """Calls services. Created by `open_client`; any number of tasks may share one.

    Every method that makes a call is a checkpoint, and ends in exactly one of these ways: with a
    `Response` of any status, with an error, or with the caller's own cancellation, which also
    cancels the handler. There is no ``timeout=``: the deadline of the caller's cancel scope
    travels with the call. Without one it is 30 s, or in a handler at most the time that its own
    call has left. A call made while no server is available waits for one, until its deadline.

    Raises in every method that calls:
      Unreachable: no broker responded by the deadline, or the broker was lost with the call.
      DeadlineExceeded: the default deadline passed.
      Overloaded: too many calls are waiting in this client.
      LocalProtocolError: target, query, headers or body are invalid.
      TypeError: a keyword is unknown, or ``json`` cannot be encoded.
      trio.ClosedResourceError: this client's ``async with`` block has ended.

    """

    def __init__(self, carrier: Carrier, *, token: str | None = None) -> None:
        self._carrier = carrier
        self._maker = RequestMaker(token)

    @property
    def is_connected(self) -> bool:
        """Whether a broker has responded and has not been lost since."""
        return self._carrier.is_connected

    async def request(self, method: str, target: str, **details: Unpack[Details]) -> Response:
        """Call ``method`` on ``target``, a path with an optional query.

        Args:
          method: in upper or lower case: ``"GET"``.
          target: starts with ``/``; its first segment is the service.
          details: ``query``, ``headers``, ``body`` or ``json``: see `Details`.

        """
        await _checkpoint_if_cancelled()
        now = _current_time()
        deadline, is_timed = _deadline(now)
        pending = self._maker.make(method, target, details, deadline, is_timed)
        self._carrier.submit(pending, now)
        if pending.ended:
            await cancel_shielded_checkpoint()
        else:
            pending.waiter = _partial(_reschedule, _current_task())
            await _wait_task_rescheduled(_partial(self._give_up, (pending,)))
        return _response(pending)

    def stream(
        self, method: str, target: str, **details: Unpack[StreamDetails]
    ) -> AbstractAsyncContextManager[ResponseStream]:
        """Call ``method`` on ``target``, and read the response in parts, as they arrive.

        ::

            async with client.stream("GET", "/events") as response:
                async for part in response: ...

        The block begins with the status and the headers. Leaving it cancels the handler, unless
        the stream has ended. A deadline around it applies to the whole stream, which may last for
        ever without one.

        Args:
          method: in upper or lower case: ``"GET"``.
          target: starts with ``/``; its first segment is the service.
          details: ``query``, ``headers``, ``body`` or ``json``, ``window``, ``head_seconds``: see
            `StreamDetails`.

        Returns:
          An async context manager, whose value is a `ResponseStream`. It raises what other calls
          raise, and also LocalProtocolError if ``window`` is less than 1.

        """
        return StreamedCall(self._carrier, self._maker, method, target, details)

    async def call_many(
        self, calls: Iterable[tuple[str, str] | tuple[str, str, Details]]
    ) -> list[Response]:
        """Make many calls at once, and wait for all of them together.

        This is much cheaper than one task for each call. When all calls have ended, it raises the
        first error in the order of the calls; a response with an error status is not an error.

        Args:
          calls: (method, target) or (method, target, details) for each call.

        Returns:
          The responses in the order of the calls.

        """
        await checkpoint_if_cancelled()
        now = trio.current_time()
        deadline, is_timed = _deadline(now)
        pendings = []
        given: Iterable[Any] = calls  # avoids type checks by compiled code
        for call in given:
            method, target, details = _checked(call)
            pendings.append(self._maker.make(method, target, details, deadline, is_timed))
        try:
            self._carrier.submit_many(pendings, now)
        except BaseException:
            self._carrier.cancel(pendings)
            raise
        await self._wait_for(pendings)
        return [_response(pending) for pending in pendings]

    async def _wait_for(self, pendings: Sequence[Pending]) -> None:
        """Wait until all calls have ended; if cancelled, cancel all of them."""
        left = [pending for pending in pendings if not pending.ended]
        if not left:
            await cancel_shielded_checkpoint()
            return
        one_has_ended = _Countdown(current_task(), len(left)).one_has_ended
        for pending in left:
            pending.waiter = one_has_ended
        await wait_task_rescheduled(partial(self._give_up, pendings))

    def _give_up(self, pendings: Sequence[Pending], _: object) -> trio.lowlevel.Abort:
        self._carrier.cancel(pendings)
        return trio.lowlevel.Abort.SUCCEEDED

    async def get(self, target: str, **details: Unpack[Details]) -> Response:
        """GET ``target``; see `request`."""
        return await self.request("GET", target, **details)

    async def head(self, target: str, **details: Unpack[Details]) -> Response:
        """HEAD ``target``; see `request`."""
        return await self.request("HEAD", target, **details)

    async def options(self, target: str, **details: Unpack[Details]) -> Response:
        """OPTIONS of ``target``; see `request`."""
        return await self.request("OPTIONS", target, **details)

    async def post(self, target: str, **details: Unpack[Details]) -> Response:
        """POST to ``target``; see `request`."""
        return await self.request("POST", target, **details)

    async def put(self, target: str, **details: Unpack[Details]) -> Response:
        """PUT ``target``; see `request`."""
        return await self.request("PUT", target, **details)

    async def patch(self, target: str, **details: Unpack[Details]) -> Response:
        """PATCH ``target``; see `request`."""
        return await self.request("PATCH", target, **details)

    async def delete(self, target: str, **details: Unpack[Details]) -> Response:
        """DELETE ``target``; see `request`."""
        return await self.request("DELETE", target, **details)


def _checked(call: Any) -> tuple[Any, Any, Details]:
    """Return method, target and details of a call, in compiled and pure Python alike."""
    if isinstance(call, (tuple, list)):
        if len(call) == 2:
            return call[0], call[1], NO_DETAILS
        if len(call) == 3 and isinstance(call[2], dict):
            details: Any = call[2]
            return call[0], call[1], details
    raise TypeError("a call is (method, target) or (method, target, details), and details a dict")


def _deadline(now: float) -> tuple[float, bool]:
    """Return the deadline of a call, and whether we enforce it instead of a cancel scope."""
    scope = _current_effective_deadline()
    if scope - now <= MAX_SECONDS:
        return scope, False
    deadline = now + (DEFAULT_SECONDS if scope == inf else MAX_SECONDS)
    return min(deadline, current_deadline()), True


@final
class _Countdown:
    """Wakes a task when ``left`` calls have ended."""

    def __init__(self, task: trio.lowlevel.Task, left: int) -> None:
        self._task = task
        self._left = left

    def one_has_ended(self) -> None:
        self._left -= 1
        if not self._left:
            reschedule(self._task)


def _response(pending: Pending) -> Response:
    # Not kept in the record, which stays in the heap of deadlines for a while.
    outcome, pending.outcome = pending.outcome, None
    if isinstance(outcome, _RESPONSE):
        return outcome
    assert outcome is not None  # it has ended, and was not cancelled
    raise outcome
