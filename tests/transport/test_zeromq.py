"""Peculiarities of libzmq, handled in `transport.zeromq`, on real sockets and the real clock."""

from __future__ import annotations

import random
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.lowlevel
import zmq
from zmq.utils.garbage import gc as collector

from tests.transport.conftest import MAX_FRAME
from trizmq.errors import ConfigError
from trizmq.transport.connections import cut
from trizmq.transport.face import PeerGone
from trizmq.transport.sockets import (
    MAX_FRAMES,
    NO_COPY,
    SKIPPED_A_PASS,
    ZmqRouter,
)
from trizmq.transport.zeromq import LOCAL_SEND_BUFFER, ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.transport.conftest import OpenNetwork
    from trizmq.transport.zeromq import ZmqDealer

PATIENCE = 10.0


@pytest.fixture
async def transport() -> AsyncIterator[ZmqTransport]:
    transport = ZmqTransport(max_frame=100_000)
    try:
        yield transport
    finally:
        await transport.aclose()


@pytest.mark.parametrize(
    "endpoint", ["nonsense", "", "tcp://127.0.0.1:*,nonsense", "tcp://no.such.interface:5555"]
)
async def test_a_bad_endpoint_is_one_line(transport: ZmqTransport, endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"^cannot bind [^\n]*$"):
        transport.bind(endpoint)


async def test_many_endpoints_are_one_router(transport: ZmqTransport) -> None:
    router = transport.bind("tcp://127.0.0.1:*, tcp://127.0.0.1:*")
    endpoints = router.endpoint.split(",")
    assert len(set(endpoints)) == 2
    dealers = [transport.connect(endpoint) for endpoint in endpoints]
    for dealer in dealers:
        dealer.send_nowait([b"x"])
    with trio.fail_after(PATIENCE):
        for _ in dealers:
            while router.receive_nowait() is None:
                await router.wait_readable()


GIANTS = {
    "one frame more": [b"x"] * (MAX_FRAMES + 1),
    "many frames": [b""] * 200_000,
    "too many bytes": [bytes(MAX_FRAME // 10)] * 11,
}


@pytest.mark.parametrize("giant", GIANTS.values(), ids=GIANTS.keys())
async def test_a_giant_message_costs_its_sender_the_connection_and_no_other(
    open_zmq: OpenNetwork, giant: list[bytes]
) -> None:
    async with open_zmq() as net:
        router, bad, peer = await net.pair()
        good = net.transport.connect(router.endpoint)
        await net.write(good, [b"hello"])
        good_peer, _ = await net.take(router)
        await net.write(bad, giant)
        with trio.fail_after(PATIENCE):
            assert await net.take(router) == (peer, [])
            await net.write(good, [b"still here"])
            assert await net.take(router) == (good_peer, [b"still here"])
            await bad.wait_lost()
            with suppress(PeerGone):
                while True:
                    router.send_nowait(peer, [b"lost"])
                    await trio.sleep(0.01)
            assert not good.is_lost


async def test_others_have_their_turn_while_a_giant_message_is_skipped(
    open_zmq: OpenNetwork,
) -> None:
    async with open_zmq() as net:
        router, bad, _ = await net.pair()
        elsewhere, dealer, _ = await net.pair_elsewhere()
        await net.write(bad, [b""] * 300_000)
        assert (await net.take(router))[1] == []
        passes = 0
        while True:
            assert router.receive_nowait() is None
            if not router._is_skipping:  # type: ignore[attr-defined]
                break
            passes += 1
            if passes % 50 == 0:
                await net.write(dealer, [b"x"])
                assert (await net.take(elsewhere))[1] == [b"x"]
            await router.wait_readable()
        assert passes >= 300_000 // SKIPPED_A_PASS - 2


async def test_a_dealer_reads_on_after_a_giant_message(open_zmq: OpenNetwork) -> None:
    async with open_zmq() as net:
        router, dealer, peer = await net.pair()
        router.send_nowait(peer, [b""] * 5000)
        router.send_nowait(peer, [b"next"])
        with trio.fail_after(PATIENCE):
            assert await net.read(dealer) == []
            assert await net.read(dealer) == [b"next"]


async def test_only_the_connection_that_sent_a_frame_is_closed(transport: ZmqTransport) -> None:
    router, stranger = transport.bind("tcp://127.0.0.1:*"), transport.bind("tcp://127.0.0.1:*")
    dealer = transport.connect(router.endpoint)
    with trio.fail_after(PATIENCE):
        dealer.send_nowait([b"x"])
        while not router._socket.poll(0):
            await trio.sleep(0.001)
        frame = router._socket.recv(copy=False)
        assert not cut(frame, [stranger.endpoint])  # as if it belonged to another
        assert not cut(frame, ["ipc:///nowhere"])
        assert cut(frame, [stranger.endpoint, router.endpoint])
        while cut(frame, [router.endpoint]):  # until libzmq has closed it
            await trio.sleep(0.001)


async def test_a_frame_over_the_limit_ends_its_senders_connection(transport: ZmqTransport) -> None:
    router = transport.bind("tcp://127.0.0.1:*")
    good, bad = transport.connect(router.endpoint), transport.connect(router.endpoint)
    good.send_nowait([b"good"])
    bad.send_nowait([bytes(100_001)])
    with trio.fail_after(PATIENCE):
        while (message := router.receive_nowait()) is None:
            await router.wait_readable()
        assert message[1] == [b"good"]
        good.send_nowait([bytes(100_000)])
        while (message := router.receive_nowait()) is None:
            await router.wait_readable()
        assert len(message[1][0]) == 100_000
        await bad.wait_lost()
        assert not good.is_lost


@pytest.mark.parametrize(
    ("endpoint", "is_bounded"),
    [
        ("tcp://127.0.0.1:*", True),
        ("ipc://{tmp_path}/socket", True),
        ("tcp://0.0.0.0:*", False),
        ("tcp://127.0.0.1:*,tcp://0.0.0.0:*", False),  # each has its own option
        ("tcp://0.0.0.0:*,tcp://127.0.0.1:*", True),
    ],
)
async def test_the_send_buffer_is_bounded_only_within_this_machine(
    transport: ZmqTransport, tmp_path: Path, endpoint: str, *, is_bounded: bool
) -> None:
    router = transport.bind(endpoint.format(tmp_path=tmp_path))
    assert send_buffer(router) == (LOCAL_SEND_BUFFER if is_bounded else -1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "192.0.2.1", "service.example"])
async def test_a_dealers_send_buffer_is_bounded_too(transport: ZmqTransport, host: str) -> None:
    is_bounded = host in ("127.0.0.1", "localhost")
    dealer = transport.connect(f"tcp://{host}:5555")
    assert send_buffer(dealer) == (LOCAL_SEND_BUFFER if is_bounded else -1)


def send_buffer(socket: ZmqRouter | ZmqDealer) -> object:
    return socket._socket.getsockopt(zmq.SNDBUF)


# -- frames that are not copied ---------------------------------------------------------


async def lent(count: int) -> bool:
    """Wait until libzmq holds this many of our frames: pyzmq keeps them until it is notified."""
    while len(collector.refs) != count:
        await trio.sleep(0.002)
    return True


async def test_only_long_frames_are_lent(transport: ZmqTransport) -> None:
    with trio.fail_after(PATIENCE):
        await lent(0)
        dealer = transport.connect("tcp://127.0.0.1:1")  # without a router, sent messages stay
        dealer.send_nowait([bytes(NO_COPY), bytes(NO_COPY)])
        assert not collector.refs
        dealer.send_nowait([bytes(NO_COPY + 1), b"", bytes(NO_COPY + 1)])
        assert len(collector.refs) == 2
        dealer.close()
        await lent(0)


async def test_memory_is_released_when_a_frame_is_sent_or_dropped(open_zmq: OpenNetwork) -> None:
    long = bytes(NO_COPY + 1)
    async with open_zmq() as net:
        router, dealer, peer = await net.pair()
        for _ in range(100):
            await net.write(dealer, [long])
            assert await net.take(router) == (peer, [long])
        await lent(0)
        for _ in range(300):  # to a peer that does not read, and goes before most of it is sent
            router.send_nowait(peer, [long])
        dealer.close()
        while router.receive_nowait() is None and collector.refs:  # it learns of this by reading
            await trio.sleep(0.002)
        with pytest.raises(PeerGone):
            router.send_nowait(peer, [long])
        await lent(0)


async def test_lending_does_not_lock_up_a_process_that_is_both_ends(open_zmq: OpenNetwork) -> None:
    # If the receiver gets the very frame that was lent, as over inproc, it returns it while holding
    # the GIL, which the collector waits for: that has caused deadlocks. Here it never happens.
    long = bytes(NO_COPY + 1)
    async with open_zmq() as net:
        router, dealer, peer = await net.pair()
        async with trio.open_nursery() as nursery:

            async def echo() -> None:
                while True:
                    _, frames = await net.take(router)
                    router.send_nowait(peer, frames)
                    router.settle()

            nursery.start_soon(echo)
            for _ in range(100):
                for _ in range(16):
                    await net.write(dealer, [long])
                for _ in range(16):
                    assert len((await net.read(dealer))[0]) == len(long)
            nursery.cancel_scope.cancel()
        await lent(0)


FIRST_PEER = """
import trio
from trizmq.transport.zeromq import ZmqTransport

async def main():
    transport = ZmqTransport(max_frame=1000)
    router = transport.bind("tcp://127.0.0.1:*")
    dealer = transport.connect(router.endpoint)
    dealer.send_nowait([b"x"])
    while (message := router.receive_nowait()) is None:
        await router.wait_readable()
    print(message[0].hex())
    await transport.aclose()

trio.run(main)
"""


async def test_the_first_peers_of_two_processes_differ() -> None:
    # Without a seed, libzmq assigns 006b8b4567 in every process.
    command = [sys.executable, "-c", FIRST_PEER]
    with trio.fail_after(PATIENCE):
        runs = [await trio.run_process(command, capture_stdout=True) for _ in range(2)]
    first, second = (run.stdout.strip() for run in runs)
    assert len(first) == len(second) == 10
    assert first != second
    assert b"006b8b4567" not in (first, second)


# -- the edge-triggered descriptor ------------------------------------------------------


def limit(socket: ZmqRouter | ZmqDealer, messages: int) -> None:
    """Set the high-water marks of a pipe on this side, for peers that connect from now on."""
    socket._socket.setsockopt(zmq.SNDHWM, messages)
    socket._socket.setsockopt(zmq.RCVHWM, messages)


class Traffic:
    """A router that one task reads, while other tasks send to a peer that never reads.

    A client sends its next request after its response, so a request that is not noticed stalls
    it permanently.
    """

    SENDERS = 3
    REQUESTS = 200

    def __init__(self, transport: ZmqTransport, *, settles: bool, cancels: bool) -> None:
        self.transport = transport
        self.router = transport.bind("tcp://127.0.0.1:*")
        limit(self.router, 2)
        self.settles, self.cancels = settles, cancels
        self.rng = random.Random(1)
        self.slow_peer = b""
        self.seen: list[int] = []

    async def read(self) -> None:
        while True:
            with trio.move_on_after(self.rng.choice([0.0, 0.0003]) if self.cancels else 99):
                while (message := self.router.receive_nowait()) is not None:
                    self.take(*message)
                await self.router.wait_readable()

    def take(self, peer: bytes, frames: list[bytes]) -> None:
        if frames == [b"slow"]:
            self.slow_peer = peer
        else:
            self.seen.append(int(frames[0]))
            self.send(peer, frames)

    def send(self, peer: bytes, frames: list[bytes]) -> None:
        with suppress(trio.WouldBlock):
            self.router.send_nowait(peer, frames)
        if self.settles:
            self.router.settle()

    async def disturb(self) -> None:
        while True:
            # A request may arrive during this without Trio noticing; the send then notices it.
            time.sleep(self.rng.random() * 0.0003)  # noqa: ASYNC251 (a handler that computes)
            self.send(self.slow_peer, [bytes(100)])
            await trio.lowlevel.checkpoint()

    async def ask(self) -> None:
        client = self.transport.connect(self.router.endpoint)
        for number in range(self.REQUESTS):
            client.send_nowait([b"%d" % number])
            while (frames := client.receive_nowait()) is None:
                await client.wait_readable()
            assert frames == [b"%d" % number]

    async def run(self) -> None:
        slow = self.transport.connect(self.router.endpoint)
        slow.send_nowait([b"slow"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.read)
            while not self.slow_peer:
                await trio.sleep(0.001)
            for _ in range(self.SENDERS):
                nursery.start_soon(self.disturb)
            await self.ask()
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("cancels", [True, False])
async def test_every_request_is_noticed_and_none_is_lost(
    transport: ZmqTransport, *, cancels: bool
) -> None:
    traffic = Traffic(transport, settles=True, cancels=cancels)
    with trio.fail_after(PATIENCE):
        await traffic.run()
    assert traffic.seen == list(range(Traffic.REQUESTS))


async def test_without_settle_it_stalls(transport: ZmqTransport) -> None:
    # If this fails, libzmq or Trio has changed, and `settle` may no longer be needed.
    traffic = Traffic(transport, settles=False, cancels=False)
    with trio.move_on_after(1.5):
        await traffic.run()
    assert len(traffic.seen) < Traffic.REQUESTS


@pytest.mark.parametrize("settles", [True, False])
async def test_a_send_that_receives_an_event_wakes_the_reader(
    open_zmq: OpenNetwork, *, settles: bool
) -> None:
    # Without `settle`, the reader sleeps forever: the second case shows that the first is real.
    async with open_zmq() as net:
        router, dealer, peer = await net.pair()
        got: list[list[bytes]] = []

        async def read() -> None:
            got.append(await net.read(dealer))

        with trio.move_on_after(PATIENCE / 2 if settles else 0.5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await trio.testing.wait_all_tasks_blocked(0.05)
                # No checkpoints from here on, so Trio cannot see the news arrive...
                router.send_nowait(peer, [b"news"])
                assert dealer._socket.poll(5000, zmq.POLLIN)  # type: ignore[attr-defined]  # private
                # ...before this call has processed it, and the descriptor is quiet again.
                dealer.send_nowait([b"..."])
                if settles:
                    dealer.settle()
        assert got == ([[b"news"]] if settles else [])


# -- leaks -------------------------------------------------------------------------------


DESCRIPTORS = Path("/proc/self/fd")


def descriptors() -> int:
    return len(list(DESCRIPTORS.iterdir()))


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="the system does not show descriptors")
async def test_no_threads_or_descriptors_remain() -> None:
    async def cycle() -> None:
        transport = ZmqTransport(max_frame=1000)
        router = transport.bind("tcp://127.0.0.1:*")
        dealer = transport.connect(router.endpoint)
        dealer.send_nowait([b"x"])
        with trio.fail_after(PATIENCE):
            while router.receive_nowait() is None:
                await router.wait_readable()
        dealer.close(1)
        await transport.aclose()

    await cycle()
    before, threads = descriptors(), threading.active_count()
    for _ in range(50):
        await cycle()
    assert descriptors() <= before
    assert threading.active_count() <= threads


async def test_aclose_is_bounded_although_lingering_messages_are_not_read() -> None:
    transport = ZmqTransport(max_frame=1000)
    dealer = transport.connect("tcp://127.0.0.1:1")
    dealer.send_nowait([b"x"])
    dealer.close(0.3)
    began = trio.current_time()
    await transport.aclose()
    assert 0.2 < trio.current_time() - began < 1.5


async def test_aclose_is_not_stopped_half_way() -> None:
    transport = ZmqTransport(max_frame=1000)
    dealer = transport.connect("tcp://127.0.0.1:1")
    with trio.CancelScope() as scope:
        scope.cancel()
        await transport.aclose()
    assert transport._context.closed
    assert dealer._socket.closed
