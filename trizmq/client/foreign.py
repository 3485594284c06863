"""Make one call in a foreign dialect: one of the MDP dialects, or plain JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Protocol

import msgspec
import trio

from ..errors import ConfigError, DeadlineExceeded, Unreachable
from ..messages import PROBLEM, Headers, Response
from ..transport.endpoints import split_endpoints
from ..transport.reconnection import open_dealer
from ..wire import bridge, plain
from ..wire.items import frames_of
from ..wire.mdp import MDP, ClientFinal
from ..wire.return_path import PLAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..transport.face import Dealer, Transport
    from ..wire.items import Call
    from ..wire.mdp import Dialect

__all__ = ["FOREIGN_DIALECTS", "call_foreign"]


#: Every dialect except the native one.
FOREIGN_DIALECTS: Final = (*MDP, PLAIN)


async def call_foreign(
    transport: Transport, connect: str, dialect: str, call: Call, deadline: float
) -> Response:
    """Make one call to a broker, which need not be a Trizmq broker.

    Majordomo has no statuses: if the body of the reply is a problem document, the response
    has its status, otherwise 200. The bodies of partial replies are joined. For a broker other
    than Trizmq's, call ``POST /service`` without headers: the service frame is then only the
    name of the service.

    Args:
      transport: opens the socket, which is closed at the end.
      connect: one endpoint. With several, ZeroMQ would distribute the calls among them.
      dialect: one of `FOREIGN_DIALECTS`.
      call: its id is not sent; its ``ttl`` is sent if the dialect has a field for it.
      deadline: in the time of Trio's clock.

    Raises:
      Unreachable: no connection was made by the deadline, or it ended before the reply arrived.
      DeadlineExceeded: no reply arrived by the deadline.
      LocalProtocolError: the dialect cannot express ``call``.
      RemoteProtocolError: the reply is not valid in this dialect.
      ConfigError: ``connect`` is not one endpoint.

    """
    conversation: _Conversation = _Plain() if dialect == PLAIN else _Majordomo(MDP[dialect])
    frames = conversation.request(call)
    endpoint = _the_one(connect)
    dealer: Dealer | None = None
    try:
        with trio.move_on_at(deadline):
            dealer = await open_dealer(transport, endpoint, beats=False)
            dealer.send_nowait(frames)
            dealer.settle()
            while (response := conversation.response(await _receive(dealer))) is None:
                pass
            return response
    finally:
        if dealer is not None:
            dealer.close()
    if dealer is None:
        raise Unreachable(f"no server is at {endpoint}", executed="no")
    raise DeadlineExceeded(f"no reply from {endpoint}: it is busy", executed="maybe")


def _the_one(connect: str) -> str:
    endpoints = split_endpoints(connect)
    if len(endpoints) > 1:
        raise ConfigError(f"a call in another dialect goes to one endpoint, not to {connect}")
    return endpoints[0]


async def _receive(dealer: Dealer) -> list[bytes]:
    """Return the next message; raise Unreachable if the connection ends before it arrives."""
    frames: list[bytes] | None = None

    async def read() -> None:
        nonlocal frames
        while (frames := dealer.receive_nowait()) is None:
            await dealer.wait_readable()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await dealer.wait_lost()
        nursery.cancel_scope.cancel()
    if frames is None:
        frames = dealer.receive_nowait()
    if frames is None:
        raise Unreachable("the connection ended before there was a reply", executed="maybe")
    return frames


class _Conversation(Protocol):
    def request(self, call: Call) -> Sequence[bytes]:
        """Return the message to send."""

    def response(self, frames: Sequence[bytes]) -> Response | None:
        """Read a message; return the response, or None if more will come."""


class _Plain:
    def request(self, call: Call) -> Sequence[bytes]:
        return plain.encode_request(call)

    def response(self, frames: Sequence[bytes]) -> Response | None:
        reply = plain.decode_reply(frames)
        return Response(reply.status, Headers(reply.headers), b"".join(frames_of(reply.body)))


class _Majordomo:
    def __init__(self, codec: Dialect) -> None:
        self._codec = codec
        self._body: list[bytes] = []

    def request(self, call: Call) -> Sequence[bytes]:
        return self._codec.encode_request(bridge.request_of(call))

    def response(self, frames: Sequence[bytes]) -> Response | None:
        reply = self._codec.decode_reply(frames)
        self._body += reply.body
        return _judged(b"".join(self._body)) if isinstance(reply, ClientFinal) else None


class _Problem(msgspec.Struct):
    """The members that make a JSON object a problem document here (RFC 9457, section 3.1)."""

    type: str
    title: str
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]


_PROBLEM: Final = msgspec.json.Decoder(_Problem)


def _judged(body: bytes) -> Response:
    try:
        status = _PROBLEM.decode(body).status
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Response(200, body=body)
    return Response(status, Headers({"content-type": PROBLEM}), body)
