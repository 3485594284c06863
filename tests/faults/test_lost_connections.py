"""Servers that are killed, stopped, busy or cut off, with calls in flight: real processes.

Each execution logs the id of its call, which shows lost and repeated calls.
"""

from __future__ import annotations

import signal
import socket
from collections import Counter
from contextlib import asynccontextmanager
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq

from .forwarder import forwarding

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from .conftest import Start

METHODS = ("GET", "POST")


class Outcomes:
    """Parallel calls, and the end of each: a status, or the error's ``executed``."""

    def __init__(self, client: trizmq.Client, nursery: trio.Nursery) -> None:
        self.client = client
        self._nursery = nursery
        self.by_id: dict[str, int | str] = {}
        self.seconds: dict[str, float] = {}
        self._methods = cycle(METHODS)

    def call(self, method: str, call_id: str, kind: str = "", **query: Any) -> None:
        self._nursery.start_soon(self._call, method, call_id, kind, query)

    def call_both(self, name: str, kind: str = "", **query: Any) -> None:
        """Make one call of each method, with the ids `GET-name` and `POST-name`."""
        for method in METHODS:
            self.call(method, f"{method}-{name}", kind, **query)

    async def call_many(self, count: int, every: float) -> None:
        """Make calls of both methods alternately, every ``every`` seconds, as separate messages."""
        for number in range(count):
            self.call(next(self._methods), f"n{number}")
            await trio.lowlevel.checkpoint()  # the call starts here, and is sent in the next one
            await trio.sleep(every)

    async def _call(self, method: str, call_id: str, kind: str, query: dict[str, Any]) -> None:
        began = trio.current_time()
        try:
            response = await self.client.request(method, f"/job/{kind}{call_id}", query=query)
            self.by_id[call_id] = response.status
        except trizmq.CallError as error:
            self.by_id[call_id] = f"{type(error).__name__} {error.executed}"
        self.seconds[call_id] = trio.current_time() - began


class Servers:
    """Server processes at one endpoint, one after another, with a common log."""

    def __init__(self, start: Start, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        self._start_process, self._log = start, log
        self._log.touch()
        self._lives: list[subprocess.Popen[bytes]] = []

    async def start(self) -> None:
        name = f"s{len(self._lives) + 1}"
        where = (self.endpoint, str(self._log))
        process = self._start_process("logging_process", "server", *where, name)
        self._lives.append(process)
        assert process.stdout is not None
        await trio.to_thread.run_sync(process.stdout.readline)

    def signal(self, number: int) -> None:
        self._lives[-1].send_signal(number)

    def wait(self) -> None:
        self._lives[-1].wait()

    @asynccontextmanager
    async def called(self, endpoint: str = "", seconds: float = 25) -> AsyncIterator[Outcomes]:
        """Call a running server; the block ends when all calls have ended."""
        await self.start()
        with trio.fail_after(seconds):
            async with calling(endpoint or self.endpoint) as outcomes:
                assert (await outcomes.client.get("/job/first")).status == 200
                yield outcomes

    def executions(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self._log.read_text().splitlines())

    def lives_of(self, call_id: str) -> list[str]:
        lines = [line.split() for line in self._log.read_text().splitlines()]
        return [life for one, life in lines if one == call_id]

    async def until_executed(self, *call_ids: str) -> None:
        while not set(call_ids) <= set(self.executions()):
            await trio.sleep(0.005)

    def assert_each_was_executed_once(self, outcomes: Outcomes) -> None:
        assert set(outcomes.by_id.values()) == {200}, outcomes.by_id
        executions = self.executions()
        assert all(executions[one] == 1 for one in outcomes.by_id)


@asynccontextmanager
async def calling(endpoint: str) -> AsyncIterator[Outcomes]:
    """Open a client; the block ends when all its calls have ended."""
    async with trizmq.open_client(endpoint) as client, trio.open_nursery() as nursery:
        yield Outcomes(client, nursery)


@pytest.fixture
def make_servers(start: Start, tmp_path: Path) -> Callable[[str], Servers]:
    """``make_servers(name)``: at a separate endpoint, with a separate log."""
    return lambda name: Servers(start, tmp_path / name)


@pytest.fixture
def servers(make_servers: Callable[[str], Servers]) -> Servers:
    return make_servers("log")


@pytest.mark.slow
async def test_a_kill_with_calls_in_flight_and_calls_made_right_after(servers: Servers) -> None:
    async with servers.called() as outcomes:
        outcomes.call("GET", "GET-held", "hold/", seconds=0.0)
        outcomes.call("POST", "POST-held", "hold/", seconds=60.0)
        await servers.until_executed("POST-held")
        servers.signal(signal.SIGKILL)
        servers.wait()
        for pause in (0, 0.05, 0.5):
            await trio.sleep(pause)
            outcomes.call_both(str(pause))
        await trio.sleep(0.2)
        assert outcomes.by_id.pop("POST-held") == "Unreachable maybe"
        assert outcomes.seconds["POST-held"] < 1.5
        await servers.start()
    outcomes.by_id.pop("GET-held")
    assert outcomes.by_id == {f"{m}-{p}": 200 for m in METHODS for p in (0, 0.05, 0.5)}
    assert all(servers.lives_of(one) == ["s2"] for one in outcomes.by_id)


@pytest.mark.slow
async def test_sigterm_with_calls_in_flight_and_calls_made_right_after(servers: Servers) -> None:
    async with servers.called() as outcomes:
        outcomes.call_both("held", "hold/", seconds=0.5)
        await servers.until_executed("GET-held", "POST-held")
        servers.signal(signal.SIGTERM)
        await outcomes.call_many(100, every=0.01)
        servers.wait()
        await servers.start()
    assert len(outcomes.by_id) == 102
    servers.assert_each_was_executed_once(outcomes)


@pytest.mark.slow
async def test_a_handler_that_blocks_the_loop_loses_nothing(servers: Servers) -> None:
    async with servers.called() as outcomes:
        outcomes.call_both("before", "hold/", seconds=0.2)
        await servers.until_executed("POST-before")
        outcomes.call("POST", "blocks", "block-loop/", seconds=5)
        await servers.until_executed("blocks")
        await outcomes.call_many(20, every=0.2)
        assert outcomes.client.is_connected
    assert len(outcomes.by_id) == 23
    servers.assert_each_was_executed_once(outcomes)


@pytest.mark.slow
async def test_all_calls_that_a_client_may_have_wait_for_a_busy_broker(servers: Servers) -> None:
    # Each is a separate message: if they were too many for the socket, libzmq would stop reading,
    # including heartbeats, and the connection would end.
    async with servers.called(seconds=28) as outcomes:
        outcomes.call("POST", "blocks", "block-loop/", seconds=5)
        await servers.until_executed("blocks")
        await outcomes.call_many(1100, every=0)
        for _ in range(15):
            await trio.sleep(0.2)
            assert outcomes.client.is_connected
    assert len(outcomes.by_id) == 1101
    servers.assert_each_was_executed_once(outcomes)


@pytest.mark.slow
async def test_a_suspended_server_continues_when_it_is_resumed(servers: Servers) -> None:
    async with servers.called() as outcomes:
        outcomes.call_both("held", "hold/", seconds=6)
        await servers.until_executed("GET-held", "POST-held")
        servers.signal(signal.SIGSTOP)
        await outcomes.call_many(20, every=0.2)  # some before the loss is noticed, some after
        assert not outcomes.client.is_connected
        servers.signal(signal.SIGCONT)
    servers.assert_each_was_executed_once(outcomes)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_with_two_brokers_idempotent_calls_lose_only_time(
    servers: Servers, make_servers: Callable[[str], Servers], how: int
) -> None:
    other = make_servers("other")
    async with servers.called(f"{servers.endpoint},{other.endpoint}") as outcomes:
        await other.start()
        await trio.sleep(0.5)
        for number in range(10):
            outcomes.call("GET", f"held{number}", "hold/", seconds=1.5)
        await servers.until_executed("held9")
        servers.signal(how)
        for number in range(10):
            await trio.sleep(0.3)
            outcomes.call("GET", f"get{number}")
            if number >= 8:  # it has been noticed by now
                outcomes.call("POST", f"post{number}")
    assert set(outcomes.by_id.values()) == {200}, outcomes.by_id
    assert max(outcomes.seconds.values()) < 8
    executions = servers.executions() + other.executions()
    assert all(executions[one] == 1 for one in outcomes.by_id if one.startswith("post"))


@pytest.mark.parametrize("lost", ["nothing", "requests", "responses"])
async def test_a_connection_that_is_cut_comes_back(servers: Servers, lost: str) -> None:
    async with forwarding(servers.endpoint) as forwarder:
        async with servers.called(forwarder.endpoint, seconds=20) as outcomes:
            forwarder.holds_requests = lost == "requests"
            forwarder.holds_responses = lost == "responses"
            outcomes.call_both("cut", "hold/", seconds=0.0 if lost == "responses" else 0.5)
            if lost == "requests":
                await trio.sleep(0.2)
            else:
                await servers.until_executed("GET-cut", "POST-cut")
                await trio.sleep(0.1)
            forwarder.cut()
            while len(outcomes.by_id) < 2:
                await trio.sleep(0.01)
            assert forwarder.connections >= 2
            assert (await outcomes.client.post("/job/last")).status == 200
    wanted = "Unreachable maybe" if lost == "responses" else 200
    assert outcomes.by_id == {"GET-cut": wanted, "POST-cut": wanted}
    assert max(servers.executions().values()) == 1


@pytest.mark.parametrize("seconds", [0.0, 1.0])
async def test_calls_wait_for_a_server_that_is_down(servers: Servers, seconds: float) -> None:
    with trio.fail_after(20):
        async with calling(servers.endpoint) as outcomes:
            outcomes.call("POST", "early")
            await trio.sleep(seconds)
            await servers.start()
    assert outcomes.by_id == {"early": 200}
    assert servers.executions() == {"early": 1}
