"""The main thread's time in a socket: the same messages, over TCP on the loopback."""

from __future__ import annotations

from itertools import starmap
from time import thread_time
from typing import TYPE_CHECKING, Final

import trio

from trizmq.limits import Limits
from trizmq.transport.zeromq import ZmqTransport

from .clock import Clock, without_collector
from .traffic import CALLS, FEW, calls, responses, written

if TYPE_CHECKING:
    from trizmq.transport.sockets import ZmqRouter
    from trizmq.transport.zeromq import ZmqDealer

    from .clock import Costs

__all__ = ["measure_sockets"]

#: Seconds until messages have arrived: libzmq's own thread delivers them.
ARRIVAL: Final = 0.003

#: The number of messages, or other measured actions, in a row.
ROW: Final = 8


async def measure_sockets(passes: int) -> Costs:
    """Return the microseconds for sending and receiving each message, and for each pass.

    A message has `FEW` calls or responses. The figures are minimums: several messages are sent
    in a row, which wakes libzmq's thread once, and received in a row.
    """
    clock = Clock()
    (there,), (back,) = written(calls("x" * 54)[:FEW]), written(responses(range(FEW)))
    async with ZmqTransport(max_frame=Limits().frame_bytes) as transport:
        router = transport.bind("tcp://127.0.0.1:*")
        dealer = transport.connect(router.endpoint)
        dealer.send_nowait([b"hello"])
        while (hello := router.receive_nowait()) is None:
            await router.wait_readable()
        with without_collector():
            for _ in range(passes):
                clock.run("client sends", map(dealer.send_nowait, [there] * ROW))
                await _receive(clock, "server receives", router)
                clock.run("server sends", map(router.send_nowait, [hello[0]] * ROW, [back] * ROW))
                await _receive(clock, "client receives", dealer)
    await _measure_polling(clock, passes)
    return clock.costs()


async def _receive(clock: Clock, name: str, socket: ZmqDealer | ZmqRouter) -> None:
    await trio.sleep(ARRIVAL)
    began = thread_time()
    messages = [socket.receive_nowait() for _ in range(ROW)]
    seconds = thread_time() - began
    if None not in messages:  # otherwise some are late, which this does not measure
        clock.note(name, seconds, ROW)
    for _ in range(messages.count(None)):
        while socket.receive_nowait() is None:
            await socket.wait_readable()
    clock.run("receives nothing", starmap(socket.receive_nowait, [()] * ROW))
    clock.run("looks", starmap(socket._has_news, [()] * ROW))


async def _measure_polling(clock: Clock, passes: int) -> None:
    """Measure what waiting for a readable socket adds to a pass of Trio."""
    here, there = trio.socket.socketpair()
    with here, there:
        await here.send(b"x")
        for _ in range(passes):
            await clock.wait("waits", map(trio.lowlevel.wait_readable, [there] * CALLS))
            await clock.wait("checkpoints", starmap(trio.lowlevel.checkpoint, [()] * CALLS))
