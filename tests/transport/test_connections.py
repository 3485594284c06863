"""libzmq's reports about connections: immediate, and without side effects."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio
import zmq

from trizmq.transport.face import PeerGone
from trizmq.transport.zeromq import LOCAL_SILENCE, ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PATIENCE = 15.0

SERVER = """
import sys, time, zmq
context = zmq.Context()
router = context.socket(zmq.ROUTER)
port = router.bind_to_random_port("tcp://127.0.0.1")
print(port, flush=True)
while True:
    peer, order = router.recv_multipart()
    if order == b"busy":
        time.sleep(4)
    router.send_multipart([peer, order])
"""


class Server:
    """A process with a ROUTER whose loop can be blocked, and which can be stopped and killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.endpoint = f"tcp://127.0.0.1:{int(self.process.stdout.readline())}"

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
async def transport() -> AsyncIterator[ZmqTransport]:
    async with ZmqTransport(max_frame=100_000) as transport:
        yield transport


async def test_a_killed_process_is_lost_immediately(
    transport: ZmqTransport, server: Server
) -> None:
    dealer = transport.connect(server.endpoint, beats=True)
    with trio.fail_after(PATIENCE):
        assert await dealer.wait_connected()
        server.process.kill()
        server.process.wait()
        began = trio.current_time()
        await dealer.wait_lost()
    assert trio.current_time() - began < 0.5


@pytest.mark.slow
async def test_a_busy_loop_is_not_lost_and_a_stopped_process_is(
    transport: ZmqTransport, server: Server
) -> None:
    dealer = transport.connect(server.endpoint, beats=True)
    with trio.fail_after(PATIENCE):
        assert await dealer.wait_connected()
        dealer.send_nowait([b"busy"])
        while (frames := dealer.receive_nowait()) is None:
            await dealer.wait_readable()
        assert (frames, dealer.is_lost) == ([b"busy"], False)
        server.process.send_signal(signal.SIGSTOP)
        began = trio.current_time()
        await dealer.wait_lost()
        lasted = trio.current_time() - began
        server.process.send_signal(signal.SIGCONT)
    assert LOCAL_SILENCE / 1000 - 0.5 < lasted < LOCAL_SILENCE / 1000 + 2


@pytest.mark.slow
async def test_a_stopped_process_is_unavailable_although_the_kernel_accepts(
    transport: ZmqTransport, server: Server
) -> None:
    server.process.send_signal(signal.SIGSTOP)
    dealer = transport.connect(server.endpoint, beats=True)
    with trio.move_on_after(0.5):
        await dealer.wait_connected()
        raise AssertionError("no response")
    assert not await transport.is_refused(server.endpoint)
    server.process.send_signal(signal.SIGCONT)
    with trio.fail_after(PATIENCE):
        assert await dealer.wait_connected()


async def test_no_heartbeats_are_sent_if_the_peer_may_be_foreign(transport: ZmqTransport) -> None:
    router = transport.bind("tcp://127.0.0.1:*")
    dealers = [transport.connect(router.endpoint, beats=beats) for beats in (False, True)]
    intervals = [one._socket.getsockopt(zmq.HEARTBEAT_IVL) for one in (router, *dealers)]
    assert intervals == [0, 0, 500]


@pytest.mark.slow
async def test_unread_events_do_not_block_sockets(transport: ZmqTransport) -> None:
    router = transport.bind("tcp://127.0.0.1:*")
    dealer = transport.connect(router.endpoint)
    with zmq.Context() as context, trio.fail_after(PATIENCE):
        for _ in range(3000):  # two thousand would block libzmq's only thread
            with context.socket(zmq.DEALER) as passer_by:
                passer_by.linger = 1000
                passer_by.connect(router.endpoint)
                passer_by.send(b"x")
            while router.receive_nowait() is None:
                await router.wait_readable()
        dealer.send_nowait([b"through"])
        while (message := router.receive_nowait()) is None:
            await router.wait_readable()
        assert message[1] == [b"through"]


async def test_the_context_ends_though_monitors_have_unread_events() -> None:
    transport = ZmqTransport(max_frame=1000)
    router = transport.bind("tcp://127.0.0.1:*")
    for _ in range(20):
        dealer = transport.connect(router.endpoint, beats=True)
        await dealer.wait_connected()
    router.close()
    began = trio.current_time()
    await transport.aclose()
    assert transport._context.closed
    assert trio.current_time() - began < 1.0


async def test_another_connection_with_the_same_number_is_not_mistaken(
    transport: ZmqTransport,
) -> None:
    # Descriptors are reused immediately: the end of one peer must not be mistaken for the end of
    # the next peer with the same number.
    router = transport.bind("tcp://127.0.0.1:*")

    async def join() -> bytes:
        dealer.send_nowait([b"hello"])
        while (message := router.receive_nowait()) is None:
            await router.wait_readable()
        router.watch(message[0])
        return message[0]

    with trio.fail_after(PATIENCE):
        for _ in range(20):
            dealer = transport.connect(router.endpoint)
            before = await join()
            dealer.close()
            while not await_gone(router, before):
                await trio.sleep(0.001)
            dealer = transport.connect(router.endpoint)  # with the same number
            after = await join()
            with trio.move_on_after(0.15):
                assert after not in await router.wait_gone()
            dealer.close()
            assert await router.wait_gone() == [after]


def await_gone(router, peer: bytes) -> bool:
    try:
        router.send_nowait(peer, [b"x"])
    except PeerGone:
        return True
    return False
