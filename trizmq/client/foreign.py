"""One call in a dialect that is not ours: as an MDP client makes it, or with plain JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Protocol

import msgspec
import trio

from ..errors import ConfigError, DeadlineExceeded, Unreachable
from ..messages import PROBLEM, Headers, Response
from ..transport.endpoints import split_endpoints
from ..transport.line import open_dealer
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


#: Every dialect but our own.
FOREIGN_DIALECTS: Final = (*MDP, PLAIN)


async def call_foreign(
    transport: Transport, connect: str, dialect: str, call: Call, deadline: float
) -> Response:
    """Make one call to a broker that may be anybody's.

    Majordomo knows no status: a reply whose body is a problem document has that one's,
    any other is a 200. Of a reply in parts the bodies are joined. To a broker that is not
    ours call ``POST /service`` without headers: the service frame is then the bare name.

    Args:
      transport: where the socket comes from; it is closed at the end.
      connect: one endpoint. A socket of ZeroMQ's would deal calls to several in turn.
      dialect: one of `FOREIGN_DIALECTS`.
      call: its id is lost; its ``ttl`` is said where the dialect has a word for it.
      deadline: on Trio's clock.

    Raises:
      Unreachable: no server was there by the deadline, or the connection ended before there
        was a reply.
      DeadlineExceeded: there was no reply.
      LocalProtocolError: the dialect cannot say ``call``.
      RemoteProtocolError: what came back is not of this dialect.
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
    """Return the next message; raise Unreachable if the connection ends before it comes."""
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
    """What makes a JSON object a problem document to us (RFC 9457, section 3.1)."""

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
