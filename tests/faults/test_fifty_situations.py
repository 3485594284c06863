"""Fifty things that workers should not do, each in three dialects, on real sockets.

In other brokers, each of them has crashed the broker, blocked it, or misled a client. Here the
worker is disconnected or ignored, and another client's call is answered as if nothing had
happened: within 100 ms, or within a second if the machine is busy. The test prints the longest
time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
import trio
import zmq

import trizmq
from trizmq.limits import Limits

SERVICE: Final = b"coffee"
FRAME_LIMIT: Final = 200_000

routes = trizmq.Router()


@routes.get("/probe")
async def probe() -> int:
    return 1


@dataclass(frozen=True)
class Dialect:
    name: str
    start: tuple[bytes, ...]
    final: bytes
    heartbeat: bytes
    disconnect: bytes
    partial: bytes = b"\x03"


DIALECTS: Final = [
    Dialect("mdp01", (b"", b"MDPW01"), b"\x03", b"\x04", b"\x05"),
    Dialect("mdp02", (b"MDPW02",), b"\x04", b"\x05", b"\x06"),
    Dialect("delimited", (b"", b"MDPW02"), b"\x04", b"\x05", b"\x06"),
]

probes: list[float] = []


class Scene:
    """A broker, a worker that is about to misbehave, and a client that waits for that worker."""

    def __init__(self, server: Any, connect: Any, dialect: Dialect, reopen: Any) -> None:
        self.server, self.broker, self.connect = server, server.broker, connect
        self.dialect = dialect
        self.reopen = reopen
        self.worker = connect(server.backend)
        self.client = connect(server.endpoint)

    def say(self, *frames: bytes, worker: Any = None) -> None:
        (worker or self.worker).send(*self.dialect.start, *frames)

    async def ready(self, service: bytes = SERVICE, worker: Any = None) -> None:
        before = self.broker.workers
        self.say(b"\x01", service, worker=worker)
        with trio.fail_after(5):
            while all(one in before for one in self.broker.workers):
                await trio.sleep(0.002)

    async def call(self, head: bytes = SERVICE, worker: Any = None) -> bytes:
        """Let the client call; return the token that the worker receives."""
        self.client.send(b"MDPC02", b"\x01", head, b"white")
        return await self.token(worker)

    async def token(self, worker: Any = None) -> bytes:
        at = len(self.dialect.start)
        frames = await (worker or self.worker).receive_other([*self.dialect.start, self.beat])
        assert frames[at] == b"\x02"
        return frames[at + 1]

    @property
    def beat(self) -> bytes:
        return self.dialect.heartbeat

    async def is_sent_away(self, worker: Any = None) -> None:
        """Check that the worker is disconnected, and receives nothing else."""
        worker = worker or self.worker
        beat = [*self.dialect.start, self.beat]
        assert await worker.receive_other(beat) == [*self.dialect.start, self.dialect.disconnect]
        assert await worker.hears_nothing(0.02)

    async def is_dropped(self) -> None:
        """Check that it was counted, and that no peer receives a message."""
        with trio.fail_after(5):
            while not self.broker.counters.malformed:
                await trio.sleep(0.002)
        assert await self.worker.hears_nothing(0.02)

    async def answers(self, token: bytes, body: bytes = b"cup") -> None:
        """Check that the worker can still reply, and that the client receives the reply."""
        self.say(self.dialect.final, token, b"", body)
        assert await self.client.receive() == [b"MDPC02", b"\x03", SERVICE, body]

    async def nobody_is_answered(self) -> None:
        assert await self.client.hears_nothing(0.05)


Situation = Callable[[Scene], Awaitable[None]]
SITUATIONS: dict[str, Situation] = {}


def situation(what: Situation) -> Situation:
    SITUATIONS[what.__name__] = what
    return what


# -- before READY --------------------------------------------------------------------------


def at_first(name: str, *frames: bytes) -> None:
    """Send a valid command too early."""

    async def situation(s: Scene) -> None:
        codes = {b"FINAL": s.dialect.final, b"BEAT": s.dialect.heartbeat}
        s.say(*[codes.get(frame, frame) for frame in frames])
        await s.is_sent_away()
        assert len(s.broker.workers) == 0

    SITUATIONS[name] = situation


at_first("heartbeat_before_ready", b"BEAT")
at_first("reply_before_ready", b"FINAL", b"0123456789abcdef", b"", b"cup")
at_first("request_from_a_stranger", b"\x02", b"0123456789abcdef", b"", b"cup")
at_first("ready_for_an_mmi_service", b"\x01", b"mmi.service")
at_first("ready_for_any_mmi_name", b"\x01", b"mmi.x")
at_first("ready_for_mmi_itself", b"\x01", b"mmi")


@situation
async def partial_before_ready(s: Scene) -> None:
    s.say(s.dialect.partial, b"0123456789abcdef", b"", b"cup")
    await s.is_sent_away()


@situation
async def disconnect_before_ready(s: Scene) -> None:
    s.say(s.dialect.disconnect)
    assert await s.worker.hears_nothing(0.05)


# -- out of place --------------------------------------------------------------------------


@situation
async def second_ready(s: Scene) -> None:
    await s.ready()
    s.say(b"\x01", SERVICE)
    await s.is_sent_away()


@situation
async def ready_for_a_second_service(s: Scene) -> None:
    await s.ready()
    s.say(b"\x01", b"tea")
    await s.is_sent_away()
    assert "tea" not in s.broker.services


@situation
async def second_ready_while_busy(s: Scene) -> None:
    await s.ready()
    token = await s.call(b"GET /coffee")
    s.say(b"\x01", SERVICE)
    await s.is_sent_away()
    s.worker = s.connect(s.server.backend)
    await s.ready()
    again = await s.token()
    assert again != token
    s.say(s.dialect.final, again, b"", b"cup")
    assert (await s.client.receive())[-1] == b"cup"


@situation
async def reply_with_nothing_outstanding(s: Scene) -> None:
    await s.ready()
    s.say(s.dialect.final, b"0123456789abcdef", b"", b"cup")
    await s.is_sent_away()


@situation
async def partial_with_nothing_outstanding(s: Scene) -> None:
    await s.ready()
    s.say(s.dialect.partial, b"0123456789abcdef", b"", b"cup")
    await s.is_sent_away()


@situation
async def request_from_a_worker(s: Scene) -> None:
    await s.ready()
    s.say(b"\x02", b"0123456789abcdef", b"", b"cup")
    await s.is_sent_away()


@situation
async def request_from_a_busy_worker(s: Scene) -> None:
    await s.ready()
    await s.call()
    s.say(b"\x02", b"0123456789abcdef", b"", b"cup")
    await s.is_sent_away()
    assert b'"status":502' in (await s.client.receive())[-1]


@situation
async def reply_twice(s: Scene) -> None:
    await s.ready()
    token = await s.call()
    await s.answers(token)
    s.say(s.dialect.final, token, b"", b"again")
    await s.is_sent_away()
    await s.nobody_is_answered()


@situation
async def partial_after_final(s: Scene) -> None:
    await s.ready()
    token = await s.call()
    await s.answers(token)
    s.say(s.dialect.partial, token, b"", b"more")  # nodejs-mdp02 does that, so it is allowed
    await s.nobody_is_answered()
    await s.answers(await s.call())


# -- replies to calls of others --------------------------------------------------------------


@situation
async def reply_with_an_invented_token(s: Scene) -> None:
    await s.ready()
    token = await s.call()
    s.say(s.dialect.final, b"0123456789abcdef", b"", b"forged")
    await s.nobody_is_answered()
    await s.answers(token)


@situation
async def reply_with_a_clients_routing_id(s: Scene) -> None:
    await s.ready()
    s.client = s.connect(s.server.endpoint, routing_id=b"a-client-of-some-name")
    token = await s.call()
    s.say(s.dialect.final, b"a-client-of-some-name", b"", b"forged")
    await s.nobody_is_answered()
    await s.answers(token)


@situation
async def reply_with_the_token_of_another_clients_call(s: Scene) -> None:
    await s.ready()
    other = s.connect(s.server.backend)
    token = await s.call()
    await s.ready(worker=other)
    stranger = s.connect(s.server.endpoint)
    stranger.send(b"MDPC02", b"\x01", SERVICE, b"black")
    strangers = await s.token(other)
    s.say(s.dialect.final, strangers, b"", b"forged")
    assert await stranger.hears_nothing(0.05)
    await s.answers(token)
    s.say(s.dialect.final, strangers, b"", b"true", worker=other)
    assert (await stranger.receive())[-1] == b"true"


@situation
async def idle_worker_replies_with_another_workers_token(s: Scene) -> None:
    await s.ready()
    token = await s.call()
    forger = s.connect(s.server.backend)
    await s.ready(worker=forger)
    s.say(s.dialect.final, token, b"", b"forged", worker=forger)
    await s.is_sent_away(forger)
    await s.answers(token)


@situation
async def reply_with_the_token_of_its_call_before(s: Scene) -> None:
    await s.ready()
    first = await s.call()
    await s.answers(first)
    second = await s.call()
    s.say(s.dialect.final, first, b"", b"old")
    await s.nobody_is_answered()
    await s.answers(second)


@situation
async def reply_after_the_deadline(s: Scene) -> None:
    await s.ready()
    caller = s.connect(s.server.endpoint)
    caller.send(b"", b'{"method": "POST", "path": "/coffee", "timeout": 0.1}')
    token = await s.token()
    assert b'"status":504' in (await caller.receive())[1]
    s.say(s.dialect.final, token, b"", b"late")
    assert await caller.hears_nothing(0.05)
    await s.answers(await s.call())


@situation
async def partial_after_the_deadline(s: Scene) -> None:
    await s.ready()
    caller = s.connect(s.server.endpoint)
    caller.send(b"", b'{"method": "POST", "path": "/coffee", "timeout": 0.1}')
    token = await s.token()
    assert b'"status":504' in (await caller.receive())[1]
    s.say(s.dialect.final, token, b"", b"late")
    s.say(s.dialect.heartbeat)
    await s.answers(await s.call())


@situation
async def reply_after_the_client_has_gone(s: Scene) -> None:
    await s.ready()
    token = await s.call()
    s.client.close()
    await trio.sleep(0.05)
    s.say(s.dialect.final, token, b"", b"cup")
    s.client = s.connect(s.server.endpoint)
    await s.answers(await s.call())


@situation
async def reply_after_a_restart(s: Scene) -> None:
    await s.ready()
    token = await s.call()
    async with s.reopen() as server:
        after = Scene(server, s.connect, s.dialect, s.reopen)
        after.say(s.dialect.final, token, b"", b"of the broker before")
        await after.is_sent_away()
        await after.ready()
        await after.answers(await after.call())
        await look_for_trouble(after)


# -- goodbyes ------------------------------------------------------------------------------


@situation
async def disconnect_while_busy(s: Scene) -> None:
    await s.ready()
    await s.call()
    s.say(s.dialect.disconnect)
    assert b'"status":502' in (await s.client.receive())[-1]
    assert await s.worker.hears_nothing(0.02)


@situation
async def disconnect_while_busy_with_what_may_be_repeated(s: Scene) -> None:
    await s.ready()
    await s.call(b"GET /coffee")
    s.say(s.dialect.disconnect)
    s.worker = s.connect(s.server.backend)
    await s.ready()
    s.say(s.dialect.final, await s.token(), b"", b"cup")
    assert (await s.client.receive())[-1] == b"cup"


@situation
async def disconnect_twice(s: Scene) -> None:
    await s.ready()
    s.say(s.dialect.disconnect)
    s.say(s.dialect.disconnect)
    assert await s.worker.hears_nothing(0.05)
    assert s.broker.workers == []


@situation
async def reply_after_disconnect(s: Scene) -> None:
    await s.ready()
    token = await s.call(b"GET /coffee")
    s.say(s.dialect.disconnect)
    s.say(s.dialect.final, token, b"", b"too late")
    await s.is_sent_away()
    await s.nobody_is_answered()


@situation
async def vanishing_while_busy(s: Scene) -> None:
    await s.ready()
    await s.call(b"GET /coffee")
    s.worker.close()
    s.worker = s.connect(s.server.backend)
    await s.ready()
    s.say(s.dialect.final, await s.token(), b"", b"cup")
    assert (await s.client.receive())[-1] == b"cup"


# -- malformed -----------------------------------------------------------------------------


def malformed(name: str, *frames: bytes, bare: bool = False) -> None:
    """Send a message in no dialect, from a new peer and from a worker that has a call.

    ``bare``: without the dialect's opening.
    """

    async def situation(s: Scene) -> None:
        codes = {b"FINAL": s.dialect.final, b"BEAT": s.dialect.heartbeat}
        codes[b"BYE"] = s.dialect.disconnect
        said = [codes.get(frame, frame) for frame in frames]
        (s.worker.send if bare else s.say)(*said)
        await (s.is_dropped() if bare else s.is_sent_away())
        await s.ready()
        await s.call()
        (s.worker.send if bare else s.say)(*said)
        # An unreadable worker cannot answer its call, so the call ends immediately.
        assert b'"status":502' in (await s.client.receive())[-1]
        await s.is_sent_away()

    SITUATIONS[name] = situation


malformed("ready_for_two_services", b"\x01", SERVICE, b"tea")
malformed("ready_without_a_service", b"\x01")
malformed("ready_with_an_empty_name", b"\x01", b"")
malformed("ready_with_a_name_that_is_none", b"\x01", b"a coffee/\xff\n")
malformed("ready_with_a_long_name", b"\x01", b"a" * 256)
malformed("unknown_command", b"\x09")
malformed("empty_command", b"")
malformed("no_command")
malformed("long_command", b"\x01\x01", SERVICE)
malformed("heartbeat_with_a_load", b"BEAT", b"0.7")
malformed("disconnect_with_a_reason", b"BYE", b"tired")
malformed("reply_without_a_token", b"FINAL")
malformed("reply_with_an_empty_token", b"FINAL", b"", b"", b"cup")
malformed("reply_without_a_body", b"FINAL", b"0123456789abcdef", b"")
malformed("three_hundred_frames", *[b"x"] * 300)
malformed("unknown_header", b"MDPW03", b"\x01", SERVICE, bare=True)
malformed("one_byte", b"x", bare=True)
malformed("half_a_native_batch", b"\x91\x95\x03", bare=True)


def misdirected(name: str, *frames: bytes) -> None:
    """A client's message at the workers' port gets an error, and a worker may come afterwards."""

    async def situation(s: Scene) -> None:
        stranger = s.connect(s.server.backend)
        stranger.send(*frames)
        assert await stranger.receive()
        await s.ready()
        await s.answers(await s.call())

    SITUATIONS[name] = situation


misdirected("a_clients_header", b"MDPC02", b"\x01", SERVICE, b"white")
misdirected("one_empty_frame", b"")
misdirected("two_empty_frames", b"", b"")
malformed("http", b"GET / HTTP/1.1\r\n\r\n", bare=True)


@situation
async def oversized_frame(s: Scene) -> None:
    """Its connection is cut; its calls go to another worker."""
    await s.ready()
    token = await s.call(b"GET /coffee")
    s.say(s.dialect.final, token, b"", bytes(Limits(body_bytes=FRAME_LIMIT // 2).frame_bytes + 1))
    other = s.connect(s.server.backend)
    with trio.fail_after(5):
        s.say(b"\x01", SERVICE, worker=other)
        again = await s.token(other)
    s.say(s.dialect.final, again, b"", b"cup", worker=other)
    assert (await s.client.receive())[-1] == b"cup"


@situation
async def another_dialect_on_the_same_socket(s: Scene) -> None:
    await s.ready()
    other = [b"MDPW02"] if s.dialect.name != "mdp02" else [b"", b"MDPW01"]
    s.worker.send(*other, b"\x05" if other == [b"MDPW02"] else b"\x04")
    await s.is_sent_away()


@situation
async def worker_commands_on_the_frontend(s: Scene) -> None:
    s.worker = s.connect(s.server.endpoint)
    s.say(b"\x01", SERVICE)
    await s.is_sent_away()
    assert "coffee" not in s.broker.services


# -- all of them -----------------------------------------------------------------------------


async def look_for_trouble(s: Scene) -> None:
    """Check that another client gets a response, and that the broker's sums are right."""
    somebody = s.connect(s.server.endpoint, zmq.REQ)
    somebody.send(b'{"method": "GET", "path": "/probe"}')
    await somebody.receive()  # it is connected now
    started = trio.current_time()
    somebody.send(b'{"method": "GET", "path": "/probe"}')
    assert b'"body":1' in (await somebody.receive())[0]
    probes.append(trio.current_time() - started)
    assert probes[-1] < 1
    c = s.broker.counters
    ended = c.answered + c.refused + c.expired + c.cancelled + c.lost
    assert c.calls == ended + s.broker.in_flight
    for worker in s.broker.workers:
        assert worker.busy == len(worker.flights)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("name", SITUATIONS)
async def test_situation(open_server, connect, name, dialect) -> None:
    if dialect.name == "mdp01" and name.startswith("partial"):
        pytest.skip("RFC 7 has no PARTIAL")

    def reopen() -> Any:
        return open_server(routes)

    async with open_server(routes, body_bytes=FRAME_LIMIT // 2) as server:
        scene = Scene(server, connect, dialect, reopen)
        with trio.fail_after(15):
            await SITUATIONS[name](scene)
        await look_for_trouble(scene)


def test_there_are_fifty_situations_without_long_waits(capsys) -> None:
    assert len(SITUATIONS) >= 50
    if probes:
        with capsys.disabled():
            print(f" [{len(probes)} probes, the longest {max(probes) * 1000:.0f} ms]", end=" ")
