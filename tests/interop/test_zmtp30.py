"""Peers that do not know PING, in every role, with calls that take longer than any heartbeat."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio

import trizmq
from tests.interop.zmtp import ZmtpPeer
from trizmq.beside import running
from trizmq.client.foreign import call_foreign
from trizmq.processes.work import work
from trizmq.transport.zeromq import ZmqTransport
from trizmq.wire.items import Call

pytestmark = pytest.mark.slow

#: Longer than three heartbeats of any kind.
SECONDS = 5

routes = trizmq.Router()


@routes.post("/slow")
async def slow() -> str:
    await trio.sleep(SECONDS)
    return "done"


async def test_zmtp_30_clients_get_no_ping(serving: Any) -> None:
    async def call_plain() -> None:
        peer = await ZmtpPeer.connect(endpoint, b"REQ")
        await peer.send(b"", b'{"method":"POST","path":"/slow"}')
        _, reply = await peer.receive()
        assert b'"status":200' in reply
        await peer.send(b"", b"no JSON")
        assert b'"status":400' in (await peer.receive())[1]
        await peer.aclose()

    async def call_mdp() -> None:
        peer = await ZmtpPeer.connect(endpoint, b"DEALER")
        for _ in range(2):
            await peer.send(b"MDPC02", b"\x01", b"slow", b"")
        for _ in range(2):
            assert await peer.receive() == [b"MDPC02", b"\x03", b"slow", b'"done"']
        await peer.aclose()

    with trio.fail_after(25):
        async with serving(routes) as endpoint, trio.open_nursery() as nursery:
            nursery.start_soon(call_plain)
            nursery.start_soon(call_mdp)


async def test_a_zmtp_30_worker_gets_no_ping(open_server: Any) -> None:
    beat = [b"MDPW02", b"\x05"]
    with trio.fail_after(25):
        async with open_server() as server, trizmq.open_client(server.endpoint) as client:
            worker = await ZmtpPeer.connect(server.backend, b"DEALER")
            await worker.send(b"MDPW02", b"\x01", b"slow")
            async with trio.open_nursery() as nursery:

                async def call() -> None:
                    assert (await client.post("/slow")).body == b"at last"

                nursery.start_soon(call)
                nursery.start_soon(call)
                for _ in range(2):
                    token = (await worker.receive_other(beat))[2]
                    await trio.sleep(SECONDS / 2)
                    await worker.send(*beat)
                    await trio.sleep(SECONDS / 2)
                    await worker.send(b"MDPW02", b"\x04", token, b"", b"at last")
            assert len(server.broker.workers) == 1
            await worker.aclose()


async def test_a_zmtp_30_broker_gets_no_ping_from_a_worker(plugin: Any, tmp_path: Any) -> None:
    """Our worker at a broker with an older libzmq, such as 4.1: it sends only known messages."""
    answered = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        peer = ZmtpPeer(stream)
        await peer.shake_hands(b"ROUTER")
        assert await peer.receive() == [b"MDPW02", b"\x01", b"slow"]
        await peer.send(b"MDPW02", b"\x02", b"client", b"", b"")
        final = await peer.receive_other([b"MDPW02", b"\x05"])
        assert final == [b"MDPW02", b"\x04", b"client", b"", b'"done"']
        answered.set()
        await trio.sleep_forever()

    with trio.fail_after(25):
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listener.socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, serve, [listener])
            serve_worker = partial(
                work,
                connect=f"tcp://127.0.0.1:{port}",
                plugins=[plugin(routes)],
                dialect="mdp02",
                capacity=1,
                state_dir=tmp_path,
            )
            async with running(serve_worker):
                await answered.wait()
            nursery.cancel_scope.cancel()


async def test_a_zmtp_30_broker_gets_no_ping_from_a_client() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        peer = ZmtpPeer(stream)
        await peer.shake_hands(b"ROUTER")
        request = await peer.receive()
        await trio.sleep(SECONDS)
        await peer.send(b"MDPC02", b"\x03", request[2], b"done")

    with trio.fail_after(25):
        async with trio.open_nursery() as nursery, ZmqTransport(max_frame=1000) as transport:
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            endpoint = f"tcp://127.0.0.1:{listener.socket.getsockname()[1]}"
            nursery.start_soon(trio.serve_listeners, serve, [listener])
            call = Call(0, 30_000, "POST", "/slow", {}, b"")
            deadline = trio.current_time() + 20
            response = await call_foreign(transport, endpoint, "mdp02", call, deadline)
            assert response.body == b"done"
            nursery.cancel_scope.cancel()
