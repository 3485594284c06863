"""The client: HTTP's words over one ZeroMQ connection, any number of calls at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack, final
from urllib.parse import urlencode

import msgspec
import orjson
import trio

from ..engine.limits import Limits
from ..engine.links import Pending
from ..engine.records import Flight
from ..errors import LocalProtocolError
from ..messages import Response
from ..transport.endpoints import split_endpoints
from ..transport.zeromq import ZmqTransport
from .beside import running
from .connection import Connection
from .pool import current_item

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from ..transport.face import Transport

__all__ = ["Client", "Details", "RequestMaker", "open_client", "open_client_on"]

#: The deadline of a call whose caller has none, in seconds (promise P6).
DEFAULT_SECONDS: Final = 30.0
MAX_SECONDS: Final = 3600.0


class Details(TypedDict, total=False):
    """What a call may have besides method and target.

    Attributes:
      query: appended to the target, encoded; a sequence of values repeats the name.
      headers: names in any case.
      body: raw bytes; not with ``json``.
      json: any value, encoded by orjson (msgspec Structs too).

    """

    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: bytes
    json: Any


@final
class RequestMaker:
    """Makes the engine's calls out of what users say."""

    def __init__(self, token: str | None) -> None:
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def make(
        self, method: str, target: str, details: Details, *, deadline: float, is_timed: bool
    ) -> Pending:
        """Return a call that ends by ``deadline``; its waiter is still to be set.

        Raises:
          LocalProtocolError: target, headers or body are not what a call can carry.
          TypeError: ``json`` cannot be encoded.

        """
        if target[:1] != "/" or not (target.isprintable() and method.isprintable()):
            raise LocalProtocolError(f"a path starts with / and is printable: {target!r}")
        if not details:
            headers, body = self._headers, b""
        else:
            target = _with_query(target, details.get("query"))
            headers = self._merged(details.get("headers"))
            body = _body(details)
        return Pending(method.upper(), target, headers, body, deadline, is_timed, _nobody)

    def _merged(self, headers: Mapping[str, Any] | None) -> dict[str, str]:
        if not headers:
            return self._headers
        for name, value in headers.items():
            if not (isinstance(value, str) and name.isprintable() and value.isprintable()):
                raise LocalProtocolError(f"a header is printable text: {name!r}: {value!r}")
        return self._headers | {name.lower(): value for name, value in headers.items()}


def _nobody() -> None:
    """Wait for nothing: the waiter of a call before its caller waits."""


def _with_query(target: str, query: Mapping[str, Any] | None) -> str:
    if not query:
        return target
    return f"{target}{'&' if '?' in target else '?'}{urlencode(query, doseq=True)}"


def _body(details: Details) -> bytes:
    if "json" not in details:
        body = details.get("body", b"")
        if not isinstance(body, bytes):
            raise LocalProtocolError(f"a body is bytes, not {type(body).__name__}; see json=")
        return body
    if details.get("body"):
        raise LocalProtocolError("a call has one body: json= or body=, not both")
    return orjson.dumps(details["json"], default=msgspec.to_builtins)


@final
class Client:
    """Calls services. Made by `open_client`; any number of tasks may share one.

    Each method that calls is a checkpoint, and ends in exactly one of: a `Response`, of
    whatever status; an error; the caller's own cancellation, which also cancels the
    handler. There is no ``timeout=``: the deadline of the caller's cancel scope travels
    with the call; without one it is 30 s, within a handler at most what its own call has
    left. A call made while no server is there waits for one, within its deadline.

    Raises in every method that calls:
      Unreachable: nobody answered by the deadline, or the broker was lost with the call.
      DeadlineExceeded: the default deadline passed.
      Overloaded: too many calls wait in this client.
      LocalProtocolError: target, headers or body are not what a call can carry.
      trio.ClosedResourceError: this client's ``async with`` block has ended.

    """

    def __init__(self, connection: Connection, *, token: str | None = None) -> None:
        self._connection = connection
        self._maker = RequestMaker(token)

    @property
    def is_connected(self) -> bool:
        """Whether a broker has answered, and has not been lost since."""
        return self._connection.engine.is_connected

    async def request(self, method: str, target: str, **details: Unpack[Details]) -> Response:
        """Call ``method`` on ``target``: a path, perhaps with a query.

        Args:
          method: in any case: ``"GET"``.
          target: starts with ``/``; its first segment is the service.
          details: ``query``, ``headers``, ``body`` or ``json``: see `Details`.

        """
        await trio.lowlevel.checkpoint_if_cancelled()
        pending = self._start(method, target, details)
        if pending.ended:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            pending.waiter = partial(trio.lowlevel.reschedule, trio.lowlevel.current_task())
            await trio.lowlevel.wait_task_rescheduled(self._giving_up([pending]))
        return _response(pending)

    async def call_many(
        self, calls: Iterable[tuple[str, str] | tuple[str, str, Details]]
    ) -> list[Response]:
        """Make many calls at once, and wait for all of them together.

        Much cheaper than as many tasks. Raises the first error in the order of the calls,
        when all have ended; a response with an error status is no error.

        Args:
          calls: (method, target) or (method, target, details) each.

        Returns:
          The responses in the order of the calls.

        """
        await trio.lowlevel.checkpoint_if_cancelled()
        make = partial(self._maker.make, **_deadline())
        pendings = [make(method, target, *details or [{}]) for method, target, *details in calls]
        try:
            self._connection.submit_many(pendings)
        except BaseException:
            self._connection.cancel(pendings)
            raise
        await self._wait_for(pendings)
        return [_response(pending) for pending in pendings]

    def _start(self, method: str, target: str, details: Details) -> Pending:
        pending = self._maker.make(method, target, details, **_deadline())
        self._connection.submit(pending)
        return pending

    async def _wait_for(self, pendings: Sequence[Pending]) -> None:
        """Park until all have ended; give them all up if cancelled."""
        left = [pending for pending in pendings if not pending.ended]
        if not left:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        waiter = _waiter(trio.lowlevel.current_task(), len(left))
        for pending in left:
            pending.waiter = waiter

        await trio.lowlevel.wait_task_rescheduled(self._giving_up(pendings))

    def _giving_up(self, pendings: Sequence[Pending]) -> Callable[[object], trio.lowlevel.Abort]:
        def give_up(_: object) -> trio.lowlevel.Abort:
            self._connection.cancel(pendings)
            return trio.lowlevel.Abort.SUCCEEDED

        return give_up

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


class _Deadline(TypedDict):
    """When a call ends, and whether we must see to it: else a cancel scope does."""

    deadline: float
    is_timed: bool


def _deadline() -> _Deadline:
    now, scope = trio.current_time(), trio.current_effective_deadline()
    if scope - now <= MAX_SECONDS:
        return {"deadline": scope, "is_timed": False}
    deadline = now + (DEFAULT_SECONDS if scope == float("inf") else MAX_SECONDS)
    flight = current_item()
    if isinstance(flight, Flight):
        deadline = min(deadline, flight.deadline)
    return {"deadline": deadline, "is_timed": True}


def _waiter(task: trio.lowlevel.Task, count: int) -> Any:
    """Return what to call ``count`` times until ``task`` is woken."""
    left = count

    def one_has_ended() -> None:
        nonlocal left
        left -= 1
        if not left:
            trio.lowlevel.reschedule(task)

    return one_has_ended


def _response(pending: Pending) -> Response:
    # Not kept in the record: that stays in the heap of deadlines for a while.
    outcome, pending.outcome = pending.outcome, None
    if isinstance(outcome, Response):
        return outcome
    assert outcome is not None  # it has ended, and was not given up by us
    raise outcome


@asynccontextmanager
async def open_client(
    connect: str = "tcp://127.0.0.1:5555", *, token: str | None = None
) -> AsyncIterator[Client]:
    """Connect to brokers: ``async with trizmq.open_client() as client:``.

    Returns at once, whether or not anybody is there: calls wait. Leaving the block ends
    what is still in flight. Errors of the block leave it as they are, in no group.

    Args:
      connect: endpoints of brokers, separated by commas: the first that is up is used.
      token: sent with each call, as ``authorization: Bearer``.

    Raises:
      ConfigError: ``connect`` is no endpoint.

    """
    async with (
        ZmqTransport(max_frame=Limits().frame_bytes) as transport,
        open_client_on(transport, connect, token=token) as client,
    ):
        yield client


@asynccontextmanager
async def open_client_on(
    transport: Transport, connect: str, *, token: str | None = None
) -> AsyncIterator[Client]:
    """Connect over ``transport``, which stays the caller's to close; else as `open_client`."""
    connection = Connection(transport, split_endpoints(connect))
    async with running(connection.run):
        yield Client(connection, token=token)
