"""Data for peers that do not read is bounded in bytes, for each peer and for all."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
import trio
import zmq

from trizmq.transport.zeromq import ZmqTransport

MIB = 1024 * 1024

#: Additional bytes that the kernel and the peer itself may buffer.
ELSEWHERE = 12 * MIB


@pytest.fixture
async def router():
    async with ZmqTransport(max_frame=16 * MIB) as transport:
        router = transport.bind("tcp://127.0.0.1:*")
        router._unsent.stalled_after = 0.1
        yield router


@pytest.fixture
def context():
    with zmq.Context() as context:
        context.linger = 0
        yield context


async def meet(router, context) -> tuple[bytes, zmq.Socket[bytes]]:
    """Return a peer that reads nothing by itself, and its address at the router."""
    dealer = context.socket(zmq.DEALER)
    dealer.rcvhwm = 1
    dealer.connect(router.endpoint)
    dealer.send(b"hello")
    with trio.fail_after(10):
        while not (message := router.receive_nowait()):
            await router.wait_readable()
    return message[0], dealer


def fill(router, peer: bytes, size: int, *, beyond: bool = False) -> int:
    """Send messages until one is refused; return their bytes."""
    sent = 0
    frames = [b"head", bytes(size)]
    while sent < 500 * MIB:
        try:
            router.send_nowait(peer, frames, beyond=beyond)
        except trio.WouldBlock:
            return sent
        sent += size
        time.sleep(0)
    raise AssertionError("nothing bounds it")


def fill_slowly(router, peer: bytes, size: int) -> int:
    """Send until a message is refused although the peer had time to read; return the bytes."""
    sent = fill(router, peer, size)
    time.sleep(0.2)
    return sent + fill(router, peer, size)


@pytest.mark.parametrize("size", [10_000, 100_000, MIB])
async def test_bytes_sent_to_a_peer_that_does_not_read_are_bounded(router, context, size) -> None:
    router.bound_unsent(8 * MIB, 32 * MIB)
    peer, dealer = await meet(router, context)
    with dealer:
        assert 6 * MIB < fill_slowly(router, peer, size) < 16 * MIB + ELSEWHERE
        assert peer in router.crowded
        assert router.unsent(peer) > 4 * MIB
        router.send_nowait(peer, [b"small"], beyond=True)  # to explain the refusal


async def test_messages_beyond_the_bound_are_bounded_too(router, context) -> None:
    router.bound_unsent(8 * MIB, 16 * MIB)
    peer, dealer = await meet(router, context)
    with dealer:
        fill_slowly(router, peer, MIB)
        sent = fill(router, peer, 10_000, beyond=True)
        assert MIB < sent < 6 * MIB


async def test_a_peer_that_reads_again_is_sent_messages_again(router, context) -> None:
    router.bound_unsent(8 * MIB, 32 * MIB)
    peer, dealer = await meet(router, context)
    with dealer:
        sent = fill_slowly(router, peer, MIB)
        for _ in range(sent // MIB):
            dealer.recv_multipart()
        with trio.fail_after(10):
            while router.unsent(peer):
                await trio.sleep(0.01)
        assert router.crowded == set()
        router.send_nowait(peer, [bytes(MIB)])


async def test_a_burst_is_sent_to_a_peer_that_reads(router, context) -> None:
    """A burst that exceeds the bound of a peer that does not read."""
    router.bound_unsent(8 * MIB, 128 * MIB)
    peer, dealer = await meet(router, context)
    with dealer:
        for _ in range(50):
            router.send_nowait(peer, [b"head", bytes(MIB)])
        for _ in range(50):
            assert len(await trio.to_thread.run_sync(dealer.recv_multipart)) == 2


async def test_a_peer_that_reads_is_never_refused(router, context) -> None:
    router.bound_unsent(8 * MIB, 64 * MIB)
    peer, dealer = await meet(router, context)
    with dealer:
        for _ in range(100):
            router.send_nowait(peer, [b"head", bytes(MIB)])
            assert len(await trio.to_thread.run_sync(dealer.recv_multipart)) == 2


async def test_peers_that_do_not_read_share_a_bound(router, context) -> None:
    router.bound_unsent(8 * MIB, 20 * MIB)
    waits = 0
    with ExitStack() as stack:
        for _ in range(6):
            peer, dealer = await meet(router, context)
            stack.enter_context(dealer)
            fill_slowly(router, peer, MIB)
            waits += router.unsent(peer)
    assert waits <= 24 * MIB


async def test_bytes_in_use_elsewhere_reduce_the_bound(router, context) -> None:
    router.bound_unsent(64 * MIB, 64 * MIB, beside=lambda: 48 * MIB)
    peer, dealer = await meet(router, context)
    with dealer:
        assert fill_slowly(router, peer, MIB) < 8 * MIB + ELSEWHERE
        assert 4 * MIB < router.unsent_bytes <= 8 * MIB
        router.bound_unsent(64 * MIB, 64 * MIB)
        assert fill_slowly(router, peer, MIB) > 16 * MIB


async def test_a_stranger_that_does_not_read_is_disconnected(router, context) -> None:
    router.bound_unsent(8 * MIB, 64 * MIB)
    peers = []
    with ExitStack() as stack:
        for _ in range(3):
            peer, dealer = await meet(router, context)
            stack.enter_context(dealer)
            router.watch(peer)
            peers.append(peer)
        stranger, known, idle = peers
        fill_slowly(router, stranger, MIB)
        fill_slowly(router, known, MIB)
        router.disconnect(lambda peer: peer != known)
        with trio.fail_after(10):
            assert await router.wait_gone() == [stranger]
            while router.unsent(stranger):
                assert router.receive_nowait() is None  # libzmq works in this call
                await trio.sleep(0.01)
        assert router.unsent(known)
        router.send_nowait(idle, [b"x"])


async def test_bytes_for_a_peer_that_has_gone_are_not_counted(router, context) -> None:
    router.bound_unsent(8 * MIB, 32 * MIB)
    peer, dealer = await meet(router, context)
    fill_slowly(router, peer, MIB)
    dealer.close()
    with trio.fail_after(10):
        while router.unsent(peer):
            router.receive_nowait()  # libzmq releases a pipe when its socket is used
            await trio.sleep(0.01)
    assert router.crowded == set()
