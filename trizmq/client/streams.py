"""Streamed responses for Trio: a block in which the parts are read as they arrive."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from math import inf
from typing import TYPE_CHECKING, Final, Generic, TypeVar, final

import msgspec
import trio

from ..current import current_deadline
from ..errors import DeadlineExceeded
from ..messages import Response
from .parts import Inflow
from .readers import StreamedResponse

if TYPE_CHECKING:
    from types import TracebackType

    from .carrier import Carrier
    from .links import Pending
    from .requests import RequestMaker, StreamDetails

__all__ = ["DEFAULT_WINDOW", "FOREVER", "ResponseStream", "StreamedCall"]

T = TypeVar("T")

#: The bytes that a sender may send before they are read. With parts of 64 KiB, 256 KiB reached
#: 0.36 of the rate of bare sockets, and this 0.72; with parts of 100 bytes, both reached all of it.
DEFAULT_WINDOW: Final = 1024 * 1024

#: The deadline of the head if the caller has none, in seconds: the same as that of a call.
HEAD_SECONDS: Final = 30.0

#: The deadline that is sent for a stream without one: ten years, in seconds.
FOREVER: Final = 10 * 365 * 86_400.0

#: Other tasks run after this many parts that were there at once.
PARTS_A_PASS: Final = 32


@final
class ResponseStream(StreamedResponse):
    """A response whose body is read in parts: ``async for part in response``.

    Created by `Client.stream`. A part is the bytes of one ``yield`` of the handler. An iteration
    is a checkpoint when no part is there, and after every 32 parts. One task at a time may iterate.

    Attributes:
      status: 100..599. A call that ends before its stream begins has an ordinary response, whose
        body is the only part.
      headers: with case-insensitive names.

    Raises (from the iteration, after the parts that arrived before it):
      ResponseError: the handler has failed after its first part.
      Unreachable: the broker was lost.
      DeadlineExceeded: the deadline of the handler in which this call was made has passed.
      RemoteProtocolError: a part is missing.
      trio.BusyResourceError: another task is iterating.

    """

    def __init__(self, call: StreamedCall, inflow: Inflow, pending: Pending) -> None:
        super().__init__(inflow, pending)
        self._call = call
        self._inflow = inflow
        self._at_once = 0

    def items(self, kind: type[T]) -> _Items[T]:
        """Return an async iterator that decodes each part from JSON to ``kind``.

        Raises (from the iteration):
          msgspec.DecodeError: if a part is not JSON, or not a valid ``kind``.

        """
        return _Items(self, kind)

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> bytes:
        # Every checkpoint is before a part is taken: a cancelled iteration loses none.
        self._at_once += 1
        if self._at_once > PARTS_A_PASS:
            self._at_once = 1
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        while (part := self._inflow.take()) is None:
            if self._inflow.has_ended:
                self._call.raise_failure()
                await trio.lowlevel.cancel_shielded_checkpoint()
                raise StopAsyncIteration
            self._at_once = 1
            await self._call.wait()
        if more := self._inflow.take_credit():
            self._call.grant(more)
        return part


@final
class _Items(Generic[T]):
    def __init__(self, response: ResponseStream, kind: type[T]) -> None:
        self._response = response
        self._decode = msgspec.json.Decoder(kind).decode

    def __aiter__(self) -> _Items[T]:
        return self

    async def __anext__(self) -> T:
        return self._decode(await anext(self._response))


@final
class StreamedCall(AbstractAsyncContextManager[ResponseStream, None]):
    """One call with a streamed response, an async context manager: see `Client.stream`."""

    def __init__(
        self,
        carrier: Carrier,
        maker: RequestMaker,
        method: str,
        target: str,
        details: StreamDetails,
    ) -> None:
        self._carrier = carrier
        self._maker = maker
        self._request = method, target, details
        self._head_seconds = details.pop("head_seconds", HEAD_SECONDS)
        self._inflow = Inflow(details.pop("window", DEFAULT_WINDOW), self._wake)
        self._pending: Pending | None = None
        self._reader: trio.lowlevel.Task | None = None

    def raise_failure(self) -> None:
        """Raise the error with which the call has ended, if it was one."""
        outcome = self._pending.outcome if self._pending is not None else None
        if outcome is not None and not isinstance(outcome, Response):
            raise outcome

    def grant(self, more: int) -> None:
        """Let the sender send ``more`` further bytes."""
        assert self._pending is not None
        self._carrier.grant(self._pending, more)

    async def wait(self) -> None:
        """Wait until there is something to read, or the end."""
        if self._reader is not None:
            raise trio.BusyResourceError("another task is reading this stream")

        def abort(_: object) -> trio.lowlevel.Abort:
            self._reader = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _wake(self) -> None:
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

    async def __aenter__(self) -> ResponseStream:
        if self._pending is not None:
            raise RuntimeError("this call was already made: call `stream` again")
        await trio.lowlevel.checkpoint_if_cancelled()
        now = trio.current_time()
        scope, of_handler = trio.current_effective_deadline(), current_deadline()
        deadline = min(scope, of_handler)
        method, target, details = self._request
        self._pending = pending = self._maker.make(
            method, target, details, min(deadline, now + FOREVER), of_handler < scope
        )
        pending.stream = self._inflow
        pending.waiter = self._wake
        try:
            self._carrier.submit(pending, now)
            with trio.move_on_at(now + self._head_seconds if deadline == inf else inf):
                while self._inflow.status is None and not pending.ended:
                    await self.wait()
            if self._inflow.status is None:
                self.raise_failure()
                late = f"{method} {target}: no response in time"
                raise DeadlineExceeded(late, executed="maybe")
        except BaseException:
            self._cancel()
            raise
        return ResponseStream(self, self._inflow, pending)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cancel()

    def _cancel(self) -> None:
        if self._pending is not None and not self._pending.ended:
            self._carrier.cancel([self._pending])
