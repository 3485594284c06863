"""Whatever a broker sends, its workers and clients continue without errors in our code."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.client.opening import open_client_on
from trizmq.errors import RemoteProtocolError, TrizmqError
from trizmq.processes.work import work_on
from trizmq.settings import Settings
from trizmq.ticker import Faults
from trizmq.transport.face import PeerGone
from trizmq.transport.memory import MemoryTransport
from trizmq.wire import native
from trizmq.wire.items import Call, Goaway, Hello, Response
from trizmq.wire.mdp import MDP, Final, Ready, Request

from .messages import Frames, Writer

if TYPE_CHECKING:
    from trizmq.transport.memory import MemoryRouter

MESSAGES = 5_000
PROBE_EVERY = 500

routes = trizmq.Router()


@routes.any("/echo")
async def echo(request: trizmq.Request) -> trizmq.Response:
    return trizmq.Response(200, body=request.body)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Collect the exceptions caught as a last resort in any loop: there must be none."""
    found: list[Exception] = []
    monkeypatch.setattr(Faults, "note", lambda _, error, __: found.append(error))
    return found


class Broker:
    """One end of a router that sends anything."""

    def __init__(self, router: MemoryRouter, seed: int) -> None:
        self.router = router
        self.writer = Writer(seed)
        self.peers: list[bytes] = []

    def send(self, peer: bytes, frames: Frames) -> None:
        with suppress(PeerGone, trio.WouldBlock):
            if frames:
                self.router.send_nowait(peer, frames)

    async def receive(self) -> tuple[bytes, Frames]:
        with trio.fail_after(60):
            while (message := self.router.receive_nowait()) is None:
                await self.router.wait_readable()
        self.peers.append(message[0])
        return message

    def read_all(self) -> None:
        while (message := self.router.receive_nowait()) is not None:
            self.peers.append(message[0])
        del self.peers[:-10]

    def dismiss_all(self, farewell: Frames) -> None:
        for peer in set(self.peers):
            self.send(peer, farewell)


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["native", *MDP])
async def test_a_worker_keeps_serving(
    plugin: Any, tmp_path: Any, autojump_clock: Any, faults: list[Exception], dialect: Any
) -> None:
    transport = MemoryTransport()
    app = App(load([plugin(routes)]), state_dir=tmp_path)
    broker = Broker(transport.bind("back"), 1)
    work = partial(work_on, transport, app, Settings(backend="back", dialect=dialect, capacity=2))
    async with running(work):
        for _ in range(MESSAGES // PROBE_EVERY):
            await broker.receive()
            for number in range(PROBE_EVERY):
                writer = broker.writer
                write = writer.native_client
                if dialect != "native":
                    write = partial(writer.mdp_worker, dialect)
                broker.send(writer.random.choice(broker.peers), write())
                if number % 10 == 0:
                    await trio.sleep(0.001)
                    broker.read_all()
            probe = probe_native if dialect == "native" else partial(probe_mdp, dialect)
            await probe(broker)
            assert faults == []


async def probe_native(broker: Broker) -> None:
    """Let the worker reconnect, send it a call, and wait for the response."""
    broker.dismiss_all(native.encode([Goaway("unknown")]))
    while True:
        peer, frames = await broker.receive()
        with suppress(RemoteProtocolError):
            for item in native.decode(frames):
                if isinstance(item, Hello):
                    call = Call(77_777, 5000, "POST", "/echo", {}, b"probe")
                    broker.send(peer, native.encode([Hello(1, "new"), call]))
                elif isinstance(item, Response) and item.id == 77_777:
                    assert (item.status, item.body) == (200, b"probe")
                    return


async def probe_mdp(dialect: str, broker: Broker) -> None:
    codec = MDP[dialect]
    broker.read_all()
    while True:
        peer, frames = await broker.receive()
        with suppress(RemoteProtocolError):
            command = codec.decode_worker(frames)
            if isinstance(command, Ready):
                broker.send(peer, codec.encode_worker(Request(b"probe", (b"probe",))))
            elif isinstance(command, Final) and command.client == b"probe":
                assert command.body == (b"probe",)
                return
            elif broker.writer.random.random() < 0.2:
                broker.send(peer, codec.encode_worker(Request(b"probe", (b"probe",))))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_a_client_ends_every_call_and_keeps_working(
    autojump_clock: Any, faults: list[Exception], seed: int
) -> None:
    transport = MemoryTransport()
    broker = Broker(transport.bind("front"), seed)
    outcomes: list[object] = []

    async def answer_oddly() -> None:
        writer = broker.writer
        while True:
            peer, frames = await broker.receive()
            with suppress(RemoteProtocolError):
                items = native.decode(frames)
                if any(isinstance(item, Hello) for item in items):
                    broker.send(peer, native.encode([Hello(1, "x", 100)]))
                writer.tokens = [b"%d" % item.id for item in items if isinstance(item, Call)] or [
                    b"1"
                ]
                for _ in range(2 * len(writer.tokens)):
                    broker.send(peer, writer.native_worker())

    async def call(client: trizmq.Client) -> None:
        try:
            with trio.move_on_after(3):
                outcomes.append(await client.get("/echo"))
        except TrizmqError as error:
            outcomes.append(error)

    async with open_client_on(transport, "front") as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_oddly)
            for _ in range(MESSAGES // 20):
                async with trio.open_nursery() as callers:
                    for _ in range(10):
                        callers.start_soon(call, client)
            nursery.cancel_scope.cancel()
        assert faults == []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_well, broker)
            with trio.fail_after(60):
                while not await is_answered(client):
                    pass  # because of the broker's earlier messages
            nursery.cancel_scope.cancel()
    assert len(outcomes) > MESSAGES // 20
    assert sum(isinstance(one, trizmq.Response) for one in outcomes) > 50


async def is_answered(client: trizmq.Client) -> bool:
    try:
        with trio.fail_after(5):
            return (await client.get("/probe")).status == 200
    except trizmq.CallError:
        return False


async def answer_well(broker: Broker) -> None:
    broker.dismiss_all(native.encode([Goaway("unknown")]))
    while True:
        peer, frames = await broker.receive()
        for item in native.decode(frames):
            if isinstance(item, Hello):
                broker.send(peer, native.encode([Hello(1, "another", 100)]))
            elif isinstance(item, Call):
                broker.send(peer, native.encode([Response(item.id, 200, {}, b"{}")]))
