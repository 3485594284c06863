"""The same storm over real sockets, with libzmq in between: a few thousand messages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.lowlevel
import zmq

import trizmq
from trizmq.wire.mdp import MDP

from .messages import Frames, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGES = 4_000
PROBE_EVERY = 500

DIALECTS = ["native", *MDP]

routes = trizmq.Router()


@routes.any("/echo")
async def echo(request: trizmq.Request) -> trizmq.Response:
    return trizmq.Response(200, body=request.body)


@routes.get("/probe")
async def probe() -> str:
    return "well"


@pytest.fixture
def _quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def send(dealer: zmq.Socket[bytes], frames: Frames) -> None:
    """Send what libzmq accepts, and drop what arrives: these peers do not read."""
    try:
        dealer.send_multipart(frames or [b""], zmq.NOBLOCK)
        while True:
            dealer.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        pass


@pytest.mark.usefixtures("_quiet")
@pytest.mark.slow
@pytest.mark.parametrize("one_socket", [False, True])
async def test_valid_calls_get_responses_during_a_storm(open_server: Any, one_socket: bool) -> None:
    writer = Writer(one_socket)
    async with open_server(routes, one_socket=one_socket, max_ttl=2.0, services=5000) as server:
        with zmq.Context() as context:
            dealers = [context.socket(zmq.DEALER) for _ in range(2 * len(DIALECTS))]
            for number, dealer in enumerate(dealers):
                dealer.linger = 0
                dealer.connect(server.backend if number < len(DIALECTS) else server.endpoint)
            async with trizmq.open_client(server.endpoint) as client:
                for number in range(MESSAGES):
                    at = writer.random.randrange(len(dealers))
                    if at < len(DIALECTS):
                        send(dealers[at], writer.worker_message(DIALECTS[at]))
                    else:
                        send(dealers[at], writer.client_message())
                    if number % 10 == 0:
                        await trio.lowlevel.checkpoint()
                    if number % PROBE_EVERY == 0:
                        with trio.fail_after(10):
                            assert (await client.get("/probe")).json() == "well"
                            assert (await client.get("/mmi/health")).status == 200
            for dealer in dealers:
                dealer.close()
        counters = server.broker.counters
        assert counters.faults == 0
        assert counters.malformed > MESSAGES // 10
        assert counters.calls > MESSAGES // 20
