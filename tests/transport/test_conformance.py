"""Tests in memory prove something only if both transports behave alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from trizmq.errors import ConfigError
from trizmq.transport.face import PeerGone
from trizmq.transport.sockets import NO_COPY

if TYPE_CHECKING:
    from tests.transport.conftest import OpenNetwork
    from trizmq.transport.face import Dealer, Router

LARGE = bytes(range(256)) * 4096  # 1 MiB


async def test_messages_arrive_whole_and_in_order(open_network: OpenNetwork) -> None:
    wanted = [[b"%d" % n, *([b"", b"x" * n] if n % 3 else [])] for n in range(500)]
    async with open_network() as net:
        router, dealer, peer = await net.pair()
        for frames in wanted:
            await net.write(dealer, frames)
        received = [await net.take(router) for _ in wanted]
        assert received == [(peer, frames) for frames in wanted]
        for frames in wanted:
            router.send_nowait(peer, frames)
        router.settle()
        assert [await net.read(dealer) for _ in wanted] == wanted
        assert router.receive_nowait() is None
        assert dealer.receive_nowait() is None


@pytest.mark.parametrize(
    "frames",
    [
        [LARGE],
        [b"batch", LARGE, b"", LARGE[:32768]],
        [LARGE[:NO_COPY], LARGE[: NO_COPY + 1], LARGE[:NO_COPY]],
        [b""],
        [b"", b"\0"],
        [b"x"] * 1024,
    ],
    ids=["large", "mixed", "copied or not", "empty", "nul", "many"],
)
async def test_frames_are_the_same_both_ways(
    open_network: OpenNetwork, frames: list[bytes]
) -> None:
    async with open_network() as net:
        router, dealer, peer = await net.pair()
        await net.write(dealer, frames)
        assert await net.take(router) == (peer, frames)
        router.send_nowait(peer, frames)
        router.settle()
        assert await net.read(dealer) == frames


async def test_sent_frames_may_be_changed_afterwards(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, dealer, peer = await net.pair()
        frames = [b"a", b"b"]
        await net.write(dealer, frames)
        router.send_nowait(peer, frames)
        frames[0] = b"changed"
        assert (await net.take(router))[1] == [b"a", b"b"]
        assert await net.read(dealer) == [b"a", b"b"]


async def test_peers_have_different_ids(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router = net.transport.bind(net.endpoint)
        dealers = [net.transport.connect(router.endpoint) for _ in range(5)]
        for number, dealer in enumerate(dealers):
            await net.write(dealer, [b"%d" % number])
        messages = [await net.take(router) for _ in dealers]
        assert len({peer for peer, _ in messages}) == 5
        for peer, frames in messages:
            router.send_nowait(peer, frames)
        for number, dealer in enumerate(dealers):
            assert await net.read(dealer) == [b"%d" % number]
            assert dealer.receive_nowait() is None


async def test_waiting_is_a_checkpoint(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, dealer, _ = await net.pair()
        with assert_checkpoints():
            await dealer.wait_readable(or_writable=True)
        dealer.send_nowait([b"x"])
        with assert_checkpoints():
            await router.wait_readable()


# -- no router -------------------------------------------------------------------------


async def test_a_stranger_is_gone(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, _, peer = await net.pair()
        for address in (b"\0\0\0\0\0", b"anybody", peer + b"x"):
            with pytest.raises(PeerGone):
                router.send_nowait(address, [b"x", b"y"])
        router.send_nowait(peer, [b"x"])  # the socket still works


async def test_a_closed_peer_is_gone(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, dealer, peer = await net.pair()
        dealer.close()
        while not is_gone(router, peer):
            await trio.sleep(0.01)


def is_gone(router: Router, peer: bytes) -> bool:
    try:
        router.send_nowait(peer, [b"x"])
    except PeerGone:
        return True
    return False


# -- one connection --------------------------------------------------------------------


async def test_a_message_sent_before_the_connection_waits(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router = net.transport.bind(net.endpoint)
        dealer = net.transport.connect(router.endpoint, beats=True)
        for number in range(10):
            dealer.send_nowait([b"%d" % number])
        assert await dealer.wait_connected()
        assert not dealer.is_lost
        received = [(await net.take(router))[1] for _ in range(10)]
        assert received == [[b"%d" % number] for number in range(10)]


async def test_a_connection_attempt_without_a_router_fails(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        [address] = await net.transport.find(net.free_endpoint)
        dealer = net.transport.connect(address)
        assert not await dealer.wait_connected()
        assert dealer.is_lost
        with assert_checkpoints():
            await dealer.wait_lost()
        assert await net.transport.is_refused(address)
        net.transport.bind(address)
        assert not await net.transport.is_refused(address)


async def test_a_connection_that_has_ended_does_not_come_back(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        first, dealer, old = await net.pair()
        for number in range(100):
            first.send_nowait(old, [b"%d" % number])
        first.close(1)
        await dealer.wait_lost()
        assert dealer.is_lost
        router = await net.bind_again(first.endpoint)
        dealer.send_nowait([b"to the one before"])
        other = net.transport.connect(router.endpoint)
        await net.write(other, [b"again"])
        peer, frames = await net.take(router)
        assert frames == [b"again"]
        assert [await net.read(dealer) for _ in range(100)] == [[one] for one in numbers(100)]
        dealer.close()
        router.send_nowait(peer, [b"welcome"])
        assert await net.read(other) == [b"welcome"]
        await trio.sleep(0.3)  # as long as it would take to return
        assert router.receive_nowait() is None


async def test_closing_a_dealer_wakes_tasks_that_wait_for_its_connection(
    open_network: OpenNetwork,
) -> None:
    async with open_network() as net:
        _, dealer, _ = await net.pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dealer.wait_lost)
            await wait_all_tasks_blocked()
            dealer.close()
        await dealer.wait_lost()


async def test_checking_is_lost_does_not_disturb_a_waiting_task(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, dealer, _ = await net.pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dealer.wait_lost)
            await wait_all_tasks_blocked()
            router.close()
            while not dealer.is_lost:  # it may happen before Trio has noticed
                pass


async def test_a_router_is_notified_which_peer_has_gone(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router = net.transport.bind(net.endpoint)
        peers: list[tuple[Dealer, bytes]] = []
        for watched in (True, False, True):
            dealer = net.transport.connect(router.endpoint)
            await net.write(dealer, [b"hello", b"you"])
            peer, _ = await net.take(router)
            peers.append((dealer, peer))
            if watched:
                router.watch(peer)
        for dealer, _ in peers[1:]:
            dealer.close()
        assert await router.wait_gone() == [peers[2][1]]
        assert is_gone(router, peers[2][1])
        router.send_nowait(peers[0][1], [b"still here"])
        assert await net.read(peers[0][0]) == [b"still here"]
        with trio.move_on_after(0.2) as scope:
            await router.wait_gone()
        assert scope.cancelled_caught
        peers[0][0].close()
        assert await router.wait_gone() == [peers[0][1]]


# -- unread messages -------------------------------------------------------------------


async def test_a_slow_dealer_loses_nothing(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, dealer, peer = await net.pair()
        sent = 0
        while not is_full(router, peer, [b"%d" % sent, bytes(16_384)]):
            sent += 1
        other = net.transport.connect(router.endpoint)
        await net.write(other, [b"me"])
        address, _ = await net.take(router)
        router.send_nowait(address, [b"you"])  # other peers are not affected
        assert await net.read(other) == [b"you"]
        assert [(await net.read(dealer))[0] for _ in range(sent)] == numbers(sent)
        assert dealer.receive_nowait() is None
        router.send_nowait(peer, [b"room again"])
        assert await net.read(dealer) == [b"room again"]


async def test_a_slow_router_loses_nothing(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, dealer, _ = await net.pair()
        sent = 0
        while not is_full(dealer, [b"%d" % sent, bytes(16_384)]):
            sent += 1
        async with trio.open_nursery() as nursery:

            async def write_one_more() -> None:
                await net.write(dealer, [b"%d" % sent])

            nursery.start_soon(write_one_more)
            await wait_all_tasks_blocked()
            received = [(await net.take(router))[1][0] for _ in range(sent + 1)]
        assert received == numbers(sent + 1)
        assert router.receive_nowait() is None


def is_full(socket: Router | Dealer, *message: Any) -> bool:
    try:
        socket.send_nowait(*message)
    except trio.WouldBlock:
        return True
    return False


def numbers(end: int) -> list[bytes]:
    return [b"%d" % number for number in range(end)]


# -- the end ---------------------------------------------------------------------------


async def assert_wakes(socket: Router | Dealer, *, or_writable: bool = False) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await socket.wait_readable(or_writable=or_writable)


async def test_close_wakes_the_reader(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, dealer, _ = await net.pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(assert_wakes, router)
            nursery.start_soon(assert_wakes, dealer)
            await wait_all_tasks_blocked()
            for socket in (router, dealer):
                socket.close()
                socket.settle()
                socket.close(1)
        await assert_wakes(router)
        await assert_wakes(dealer, or_writable=True)


async def test_closing_the_transport_closes_its_sockets(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, dealer, _ = await net.pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(assert_wakes, router)
            nursery.start_soon(assert_wakes, dealer)
            await wait_all_tasks_blocked()
            with assert_checkpoints():
                await net.transport.aclose()
        await net.transport.aclose()


async def test_lingering_messages_arrive(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        router, dealer, _ = await net.pair()
        for number in range(100):
            dealer.send_nowait([b"%d" % number, bytes(10_000)])
        dealer.close(5)
        assert [(await net.take(router))[1][0] for _ in range(100)] == numbers(100)


async def test_an_endpoint_cannot_be_bound_twice(open_network: OpenNetwork) -> None:
    async with open_network() as net:
        if net.kind == "ipc":
            pytest.skip("libzmq takes the path away from whoever has it")
        router = net.transport.bind(net.endpoint)
        with pytest.raises(ConfigError, match=r"^cannot bind \S*: address already in use$"):
            net.transport.bind(router.endpoint)
