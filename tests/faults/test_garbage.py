"""Whatever arrives on the port, every valid call gets a response, and the counters show it."""

from __future__ import annotations

import random
import socket

import trio
import zmq

import trizmq
from trizmq.wire import native
from trizmq.wire.items import Call, Hello
from trizmq.wire.mdp import MDP01, MDP02, ClientRequest, Heartbeat, Ready

SEED = 20260101
MESSAGES = 10_000

GOOD = [
    native.encode([Hello(1, "x")]),
    native.encode([Call(1, 1000, "GET", "/test/now", {}, b"")]),
    native.encode([Call(1, 1000, "GET", "/test/now", {"a": "b"}, bytes(40_000))]),
    [b"", b'{"method": "GET", "path": "/test/now", "timeout": 1}'],
    MDP01.encode_request(ClientRequest(b"GET /test/now", (b"",))),
    MDP02.encode_request(ClientRequest(b"test", (b"x", b"y"))),
    MDP01.encode_worker(Ready("test")),
    MDP02.encode_worker(Heartbeat()),
    [b"GET /users HTTP/1.1\r\nHost: localhost\r\n\r\n"],
    [b""],
    [b"", b""],
    [b"MDPC02"],
]


def mutate(rng: random.Random, frames: list[bytes]) -> list[bytes]:
    """Damage a message in one way."""
    frames = list(frames)
    at = rng.randrange(len(frames))
    match rng.randrange(6):
        case 0:
            del frames[at]
        case 1:
            frames.insert(at, rng.randbytes(rng.randrange(9)))
        case 2:
            frames[at] = frames[at][: rng.randrange(len(frames[at]) + 1)]
        case 3 if frames[at]:
            spoiled = bytearray(frames[at])
            spoiled[rng.randrange(len(spoiled))] = rng.randrange(256)
            frames[at] = bytes(spoiled)
        case 4:
            frames = [rng.randbytes(rng.randrange(200)) for _ in range(rng.randrange(1, 5))]
        case _:
            frames = frames * rng.randrange(2, 40)
    return frames or [b""]


def send_garbage(endpoint: str) -> None:
    """Send the messages on a few connections, and HTTP and noise on raw ones."""
    rng = random.Random(SEED)
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    with zmq.Context() as context:
        sockets = [context.socket(zmq.DEALER) for _ in range(4)]
        for dealer in sockets:
            dealer.linger = 2000
            dealer.connect(endpoint)
        for number in range(MESSAGES):
            sockets[number % 4].send_multipart(mutate(rng, rng.choice(GOOD)))
            if number % 100 == 0:
                with socket.create_connection((host, int(port))) as raw:
                    raw.sendall(rng.choice([b"GET / HTTP/1.1\r\n\r\n", rng.randbytes(300)]))
        for dealer in sockets:
            dealer.close()


async def test_ten_thousand_garbage_messages_while_a_client_calls(open_broker) -> None:
    statuses: list[int] = []
    async with open_broker() as (endpoint, broker), trizmq.open_client(endpoint) as client:

        async def call_on() -> None:
            while True:
                with trio.fail_after(5):
                    statuses.append((await client.get("/test/now")).status)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call_on)
                await trio.to_thread.run_sync(send_garbage, endpoint)
                # Half of the mutations leave a valid message; the others are refused.
                while len(statuses) < 100 or broker.counters.malformed <= MESSAGES / 4:
                    await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
        assert set(statuses) == {200}
        assert broker.in_flight <= 1
