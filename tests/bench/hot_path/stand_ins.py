"""Sockets that cost next to nothing: their messages are created beforehand."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Final, final

import trio

from trizmq.wire import native
from trizmq.wire.items import VERSION, Call, Hello

from .traffic import CALLS, calls, responses, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trizmq.transport.face import Dealer, Router
    from trizmq.wire.items import Item

__all__ = ["ADDRESS", "StandInDealer", "StandInRouter", "Transport"]

#: The address of the only client that the router knows.
ADDRESS: Final = b"\0peer"

#: The first bytes of a call in msgpack, after the head of its own array.
CALL: Final = Call.__struct_config__.tag


@final
class StandInRouter:
    """A ROUTER that receives calls; ``sent`` contains the messages with their responses."""

    endpoint = ""

    def bound_unsent(self, each: int, together: int, beside: object = int) -> None:
        pass

    @property
    def unsent_bytes(self) -> int:
        return 0

    def disconnect(self, is_stranger: object) -> None:
        pass

    @property
    def crowded(self) -> set[bytes]:
        return set()

    def unsent(self, peer: bytes) -> int:
        return 0

    def __init__(self, token: str, at_once: int = CALLS) -> None:
        self._inbox = [(ADDRESS, _hello())]
        # Calls of two passes may be in flight at once, so their ids must differ.
        firsts = range(1, 1000, 100)
        self._rounds = cycle([_from_client(calls(token, first)[:at_once]) for first in firsts])
        self.sent: list[Sequence[bytes]] = []
        self._passes = 0
        self._is_over = trio.Event()
        self._reader: trio.lowlevel.Task | None = None

    async def deliver(self, passes: int) -> None:
        """Deliver calls in each of this many passes; return after the last."""
        assert self._reader is not None
        self._passes, self._is_over = passes, trio.Event()
        trio.lowlevel.reschedule(self._reader)
        await self._is_over.wait()

    def receive_nowait(self) -> tuple[bytes, list[bytes]] | None:
        return self._inbox.pop() if self._inbox else None

    def send_nowait(self, peer: bytes, frames: Sequence[bytes], *, beyond: bool = False) -> None:
        self.sent.append(frames)

    async def wait_readable(self, *, or_writable: bool = False) -> None:
        if self._passes:
            self._passes -= 1
            self._inbox.extend(next(self._rounds))
            await trio.lowlevel.checkpoint()
            return
        self._is_over.set()
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

    def settle(self) -> None:
        pass

    def watch(self, peer: bytes) -> None:
        pass

    async def wait_gone(self) -> list[bytes]:
        await trio.sleep_forever()

    def close(self, linger: float = 0) -> None:
        pass


@final
class StandInDealer:
    """A DEALER whose calls get responses immediately, in the order in which they arrive.

    ``inbox`` contains the messages that were not received yet.
    """

    def __init__(self) -> None:
        self.inbox = [_hello(credit=1024)]
        self._ready: list[bytes] = []
        self._answered = self._ids = 0
        self._reader: trio.lowlevel.Task | None = None

    def prepare(self, count: int) -> None:
        """Encode the responses to the next ``count`` calls: a client's ids count up from 1."""
        ids = range(self._ids + 1, self._ids + count + 1)
        self._ready = [_alone(response)[1:] for response in responses(ids)]
        self._answered, self._ids = 0, self._ids + count

    def send_nowait(self, frames: Sequence[bytes]) -> None:
        first = self._answered
        self._answered += _count_calls(frames[0])
        items = self._ready[first : self._answered]
        if items:
            self.inbox.append([_head(len(items)) + b"".join(items)])

    def settle(self) -> None:
        if self._reader is not None and self.inbox:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

    def receive_nowait(self) -> list[bytes] | None:
        return self.inbox.pop(0) if self.inbox else None

    async def wait_readable(self, *, or_writable: bool = False) -> None:
        if self.inbox:
            await trio.lowlevel.checkpoint()
            return
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._leave)

    is_lost = is_ending = False

    async def wait_connected(self) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    async def wait_lost(self) -> None:
        await trio.sleep_forever()

    def _leave(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def close(self, linger: float = 0) -> None:
        pass


@final
class Transport:
    """The transport that trizmq uses to create sockets."""

    def __init__(self, *, router: Router | None = None, dealer: Dealer | None = None) -> None:
        self._router, self._dealer = router, dealer

    def bind(self, endpoint: str) -> Router:
        assert self._router is not None
        return self._router

    def check(self, endpoint: str) -> None:
        pass

    async def find(self, endpoint: str) -> list[str]:
        await trio.lowlevel.checkpoint()
        return [endpoint]

    async def is_refused(self, address: str) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    def connect(self, address: str, *, beats: bool = False) -> Dealer:
        assert self._dealer is not None
        return self._dealer

    async def aclose(self) -> None:
        pass


def _alone(item: Item) -> bytes:
    (frame,) = native.encode([item])
    return frame


def _hello(credit: int = 0) -> list[bytes]:
    return [_alone(Hello(VERSION, "stand-in", credit))]


def _from_client(items: Sequence[Item]) -> list[tuple[bytes, list[bytes]]]:
    return [(ADDRESS, frames) for frames in written(items)]


def _count_calls(batch: bytes) -> int:
    """Return the number of calls in a message, which has either only calls or none.

    The head of its msgpack array contains the number of items; the head of the first item is a
    byte, and its tag the next.
    """
    if batch[0] < 0xA0:
        return batch[0] & 0x0F if batch[2] == CALL else 0
    return int.from_bytes(batch[1:3], "big") if batch[4] == CALL else 0


def _head(count: int) -> bytes:
    return bytes([0x90 | count]) if count < 16 else b"\xdc" + count.to_bytes(2, "big")
