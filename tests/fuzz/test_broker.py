"""Whatever peers send, the broker keeps serving without errors in our code: 200,000 messages.

This includes the loop, the dialects, the engine, the application, and the way back. A failure
prints its seed; the messages are the same each time.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq
from trizmq.app.application import App
from trizmq.app.plugins import load
from trizmq.beside import running
from trizmq.client.opening import open_client_on
from trizmq.errors import RemoteProtocolError
from trizmq.processes.server import Server
from trizmq.settings import Settings
from trizmq.transport.memory import MemoryTransport
from trizmq.wire import native
from trizmq.wire import reading as dialects
from trizmq.wire.items import Call, Hello
from trizmq.wire.mdp import MDP

from .messages import Frames, Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trizmq.client.trio_client import Client
    from trizmq.transport.memory import MemoryDealer

SEEDS = range(8)
MESSAGES = 12_500  # for each seed, and for each way to bind
PROBE_EVERY = 1_000

#: The usual dialect of each worker. Now and then, a peer is closed and replaced.
DIALECTS = ["native", "native", *MDP]

routes = trizmq.Router()


@routes.any("/echo")
async def echo(request: trizmq.Request) -> trizmq.Response:
    return trizmq.Response(200, body=request.body)


@routes.any("/fail")
async def fail() -> None:
    raise ValueError("as handlers do")


@routes.any("/later")
async def later(request: trizmq.Request) -> None:
    it = request.reply_later()
    it.acknowledge(b"part")
    await trio.sleep(0.01)
    it.respond(request.query)


@routes.get("/probe")
async def probe() -> str:
    return "well"


class Storm:
    """Sends messages to a broker from many peers, and reads the responses."""

    def __init__(self, transport: MemoryTransport, seed: int, backend: str) -> None:
        self.writer = Writer(seed)
        self.random = self.writer.random
        self._transport = transport
        self._backend = backend
        self._clients = [transport.connect("front") for _ in DIALECTS]
        self._workers = [transport.connect(backend) for _ in DIALECTS]

    async def send(self, count: int) -> None:
        for number in range(count):
            at = self.random.randrange(len(DIALECTS))
            if self.random.random() < 0.5:
                self._send(self._clients, at, "front", self.writer.client_message())
            else:
                frames = self.writer.worker_message(DIALECTS[at])
                self._send(self._workers, at, self._backend, frames)
            if number % 50 == 0:
                await self.settle()
        await self.settle()

    def _send(self, dealers: list[MemoryDealer], at: int, endpoint: str, frames: Frames) -> None:
        if self.random.random() < 0.002:
            dealers[at].close()
            dealers[at] = self._transport.connect(endpoint)
        if frames:
            dealers[at].send_nowait(frames)

    async def settle(self) -> None:
        """Let the broker read everything, and read its responses."""
        for endpoint in {"front", self._backend}:
            while self._transport._routers[endpoint].inbox:
                await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        for dealer in self._clients:
            if not self.writer.instance:
                self._note_instance(dealer.inbox)
            dealer.inbox.clear()
        for dealer in self._workers:
            for frames in dealer.inbox:
                self._note_tokens(frames)
            dealer.inbox.clear()

    def _note_instance(self, messages: Iterable[Frames]) -> None:
        for frames in messages:
            with suppress(RemoteProtocolError):
                for item in native.decode(frames):
                    if isinstance(item, Hello):
                        self.writer.instance = item.instance

    def _note_tokens(self, frames: Frames) -> None:
        try:
            for item in native.decode(frames):
                if isinstance(item, Call):
                    self.writer.tokens.append(b"%d" % item.id)
        except RemoteProtocolError:
            try:
                found = dialects.read_worker(frames)
            except RemoteProtocolError:
                return
            client = getattr(getattr(found, "command", None), "client", None)
            if client is not None:
                self.writer.tokens.append(client)

    def close(self) -> None:
        for dealer in [*self._clients, *self._workers]:
            dealer.close()


async def probe_all(client: Client, plain: MemoryDealer) -> None:
    """Check that valid calls get responses, in two dialects and from the broker itself."""
    with trio.fail_after(5):
        assert (await client.get("/probe")).json() == "well"
        assert (await client.get("/mmi/health")).status == 200
        plain.send_nowait([b"", b'{"path": "/probe"}'])
        while (frames := plain.receive_nowait()) is None:
            await plain.wait_readable()
        assert json.loads(frames[1]) == {"status": 200, "body": "well"}


@pytest.fixture
def _quiet() -> Iterator[None]:
    """Disable the log: a line for each of thousands of lost workers is slower than the rest."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("_quiet")
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["back", "front"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_no_message_fails_in_the_broker(
    plugin: Any, tmp_path: Any, autojump_clock: Any, seed: int, backend: str
) -> None:
    transport = MemoryTransport()
    app = App(load([plugin(routes)]), state_dir=tmp_path)
    limits = {"max_ttl": 30.0, "services": 20_000, "broker_bytes": 2**40}
    server = Server(transport, app, Settings(bind="front", backend=backend, limits=limits))
    counters = server.broker.counters
    async with running(server.run), open_client_on(transport, "front") as client:
        plain = transport.connect("front")
        storm = Storm(transport, seed, backend)
        for start in range(0, MESSAGES, PROBE_EVERY):
            await storm.send(min(PROBE_EVERY, MESSAGES - start))
            await probe_all(client, plain)
            assert counters.faults == 0, f"seed {seed}, backend {backend}"
        storm.close()
        await trio.sleep(200)  # on the autojump clock: every deadline and every silence
        await probe_all(client, plain)
        assert server.broker.in_flight == server.broker.queued_bytes == 0
        assert [worker for worker in server.broker.workers if worker.dialect != "local"] == []
    assert counters.faults == 0
    told = (counters.answered, counters.refused, counters.malformed, counters.lost, counters.forged)
    assert min(told) > 50, counters
