"""A client in the broker's own process: the same `Client`, without a socket."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, final

import trio

from ..client.carrier import Carrier
from ..client.trio_client import Client
from ..errors import DeadlineExceeded, Unreachable
from ..headers import Headers
from ..messages import Response
from ..wire import items
from ..wire.items import Call, frames_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..broker.loop import BrokerLoop
    from ..client.links import Pending
    from ..errors import TrizmqError

__all__ = ["open_local_client"]


@contextmanager
def open_local_client(loop: BrokerLoop, name: str, *, token: str | None = None) -> Iterator[Client]:
    """Open a client of the broker that ``loop`` drives, for the duration of the block.

    Its calls meet the same hooks, limits, queues and workers as those of other clients, and
    appear as those of the dialect ``local``. It must be used in the loop's own thread. Calls
    that are in flight at the end of the block are cancelled.

    Args:
      loop: the loop of a broker; it need not run yet.
      name: the prefix of the broker's ids for its calls.
      token: sent with each call, as `trizmq.open_client` does.

    """
    carrier = _LocalCarrier(loop, name)
    try:
        yield Client(carrier, token=token)
    finally:
        carrier.close()


@final
class _LocalCarrier(Carrier):
    """Passes calls to the broker, and its responses back, by function calls."""

    def __init__(self, loop: BrokerLoop, name: str) -> None:
        self._loop = loop
        self._peer = loop.add_client(name, self._receive)
        self._ids = count(1)
        self._pendings: dict[int, Pending] = {}
        self._is_closed = False

    @property
    def is_connected(self) -> bool:
        return not self._is_closed

    def submit(self, pending: Pending, now: float) -> None:
        self.submit_many([pending], now)

    def submit_many(self, pendings: Sequence[Pending], now: float) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError("this client was closed")
        self._loop.submit(self._peer, [self._written(pending, now) for pending in pendings], now)

    def cancel(self, pendings: Sequence[Pending]) -> None:
        mine = [one for one in pendings if self._pendings.pop(one.id, None) is one]
        for pending in mine:
            pending.ended = True
            pending.let_go()
        if mine and not self._is_closed:
            self._loop.cancel(self._peer, [pending.id for pending in mine])

    def grant(self, pending: Pending, more: int) -> None:
        if not (pending.ended or self._is_closed):
            self._loop.grant(self._peer, pending.id, more)

    def close(self) -> None:
        """Cancel the calls in flight, and accept no more calls."""
        self._is_closed = True
        self._loop.remove_client(self._peer)
        for pending in list(self._pendings.values()):
            self._end(pending, Unreachable("the client was closed", executed="maybe"))

    def _written(self, pending: Pending, now: float) -> Call:
        pending.id = next(self._ids)
        pending.attempts = 1
        self._pendings[pending.id] = pending
        # Round up, so that the deadline does not pass at the broker before it does here. (The
        # deadline of a cancelled scope is minus infinity.)
        ttl = int(max(pending.deadline - now, 0.0) * 1000) + 1
        return pending.to_item(ttl, 0)

    def _receive(self, item: items.Response | items.Head | items.Part) -> None:
        pending = self._pendings.get(item.id)
        if pending is None:
            return
        stream = pending.stream
        if stream is None:
            assert isinstance(item, items.Response)
            self._end(pending, self._outcome(pending, item))
        elif isinstance(item, items.Response):
            outcome = self._outcome(pending, item)
            if isinstance(outcome, Response):
                outcome = stream.finish(outcome, item.parts)
            self._end(pending, outcome)
        elif isinstance(item, items.Head):
            stream.begin(item.status, Headers(item.headers))
            stream.wake()
        else:
            stream.add(item.seq, item.body)
            stream.wake()

    def _outcome(self, pending: Pending, item: items.Response) -> Response | TrizmqError:
        if item.status == 504 and pending.is_timed and pending.deadline <= trio.current_time():
            detail = f"{pending.method} {pending.target}: no response in time"
            return DeadlineExceeded(detail, executed="maybe")
        return Response(item.status, Headers(item.headers), b"".join(frames_of(item.body)))

    def _end(self, pending: Pending, outcome: Response | TrizmqError) -> None:
        del self._pendings[pending.id]
        pending.outcome, pending.ended = outcome, True
        if pending.stream is not None:
            pending.stream.has_ended = True
        pending.tell()
