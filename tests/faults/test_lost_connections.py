"""Servers that are killed, stopped, busy or cut off, with calls in flight: real ones.

Each call's id is logged where it is executed: what is lost, and what is done twice, is seen.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq

from .forwarder import forwarding

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = Path(__file__).parent / "logging_server.py"


class Servers:
    """Server processes at one endpoint, one after another, and the log of all of them."""

    def __init__(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        self._log = directory / "log"
        self._log.touch()
        self._lives: list[subprocess.Popen[bytes]] = []

    async def start(self) -> None:
        name = f"s{len(self._lives) + 1}"
        command = [sys.executable, str(SERVER), self.endpoint, str(self._log), name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._lives.append(process)
        assert process.stdout is not None
        await trio.to_thread.run_sync(process.stdout.readline)

    def signal(self, number: int) -> None:
        self._lives[-1].send_signal(number)

    def wait(self) -> None:
        self._lives[-1].wait()

    def close(self) -> None:
        for process in self._lives:
            process.kill()
            process.communicate()

    def executions(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self._log.read_text().splitlines())

    def lives_of(self, call_id: str) -> list[str]:
        lines = [line.split() for line in self._log.read_text().splitlines()]
        return [life for one, life in lines if one == call_id]

    async def is_executed(self, call_id: str) -> None:
        while not self.executions()[call_id]:
            await trio.sleep(0.005)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    yield servers
    servers.close()


class Outcomes:
    """Calls made side by side, and how each has ended: a status, or the error's ``executed``."""

    def __init__(self, client: trizmq.Client, nursery: trio.Nursery) -> None:
        self._client = client
        self._nursery = nursery
        self.by_id: dict[str, int | str] = {}
        self.seconds: dict[str, float] = {}

    def call(self, method: str, call_id: str, kind: str = "", **query: Any) -> None:
        self._nursery.start_soon(self._call, method, call_id, kind, query)

    async def _call(self, method: str, call_id: str, kind: str, query: dict[str, Any]) -> None:
        began = trio.current_time()
        try:
            response = await self._client.request(method, f"/job/{kind}{call_id}", query=query)
            self.by_id[call_id] = response.status
        except trizmq.CallError as error:
            self.by_id[call_id] = f"{type(error).__name__} {error.executed}"
        self.seconds[call_id] = trio.current_time() - began


@pytest.mark.slow
async def test_kill_with_calls_in_flight_and_calls_made_right_after(servers: Servers) -> None:
    await servers.start()
    with trio.fail_after(25):
        async with trizmq.open_client(servers.endpoint) as client, trio.open_nursery() as nursery:
            outcomes = Outcomes(client, nursery)
            assert (await client.get("/job/first")).status == 200
            for method in ("GET", "POST"):
                outcomes.call(method, f"{method}-held", "hold/", seconds=60.0 * (method == "POST"))
            await servers.is_executed("POST-held")
            servers.signal(signal.SIGKILL)
            servers.wait()
            for pause in (0, 0.05, 0.5):
                await trio.sleep(pause)
                for method in ("GET", "POST"):
                    outcomes.call(method, f"{method}-{pause}")
            await trio.sleep(0.2)
            assert outcomes.by_id.pop("POST-held") == "Unreachable maybe"
            assert outcomes.seconds["POST-held"] < 1.5
            await servers.start()
    outcomes.by_id.pop("GET-held")
    assert outcomes.by_id == {f"{m}-{p}": 200 for m in ("GET", "POST") for p in (0, 0.05, 0.5)}
    assert all(servers.lives_of(one) == ["s2"] for one in outcomes.by_id)


@pytest.mark.slow
async def test_term_with_calls_in_flight_and_calls_made_right_after(servers: Servers) -> None:
    await servers.start()
    with trio.fail_after(25):
        async with trizmq.open_client(servers.endpoint) as client, trio.open_nursery() as nursery:
            outcomes = Outcomes(client, nursery)
            assert (await client.get("/job/first")).status == 200
            for method in ("GET", "POST"):
                outcomes.call(method, f"{method}-held", "hold/", seconds=0.5)
            await servers.is_executed("POST-held")
            await servers.is_executed("GET-held")
            servers.signal(signal.SIGTERM)
            for number in range(100):
                outcomes.call(("GET", "POST")[number % 2], f"n{number}")
                await trio.sleep(0.01)
            servers.wait()
            await servers.start()
    assert set(outcomes.by_id.values()) == {200}
    assert len(outcomes.by_id) == 102
    executions = servers.executions()
    assert all(executions[one] == 1 for one in outcomes.by_id)


@pytest.mark.slow
async def test_a_handler_that_blocks_the_loop_loses_nothing(servers: Servers) -> None:
    await servers.start()
    with trio.fail_after(25):
        async with trizmq.open_client(servers.endpoint) as client, trio.open_nursery() as nursery:
            outcomes = Outcomes(client, nursery)
            for method in ("GET", "POST"):
                outcomes.call(method, f"{method}-before", "hold/", seconds=0.2)
            await servers.is_executed("POST-before")
            outcomes.call("POST", "blocks", "block/", seconds=5)
            await servers.is_executed("blocks")
            for number in range(20):
                outcomes.call(("GET", "POST")[number % 2], f"n{number}")
                await trio.sleep(0.2)
            assert client.is_connected
    assert set(outcomes.by_id.values()) == {200}
    assert len(outcomes.by_id) == 23
    executions = servers.executions()
    assert all(executions[one] == 1 for one in outcomes.by_id)


@pytest.mark.slow
async def test_as_many_calls_as_a_client_may_have_wait_for_a_busy_broker(servers: Servers) -> None:
    # Each is a message of its own: were they too many for the socket, libzmq would read no more,
    # no heartbeat either, and the connection would end.
    await servers.start()
    with trio.fail_after(28):
        async with trizmq.open_client(servers.endpoint) as client, trio.open_nursery() as nursery:
            outcomes = Outcomes(client, nursery)
            outcomes.call("POST", "blocks", "block/", seconds=5)
            await servers.is_executed("blocks")
            for number in range(1100):
                outcomes.call(("GET", "POST")[number % 2], f"n{number}")
                for _ in range(2):
                    await trio.lowlevel.checkpoint()
            for _ in range(15):
                await trio.sleep(0.2)
                assert client.is_connected
    assert Counter(outcomes.by_id.values()) == {200: 1101}
    assert max(servers.executions().values()) == 1


@pytest.mark.slow
async def test_a_server_that_is_stopped_goes_on_where_it_was(servers: Servers) -> None:
    await servers.start()
    with trio.fail_after(25):
        async with trizmq.open_client(servers.endpoint) as client, trio.open_nursery() as nursery:
            outcomes = Outcomes(client, nursery)
            for method in ("GET", "POST"):
                outcomes.call(method, f"{method}-held", "hold/", seconds=6)
            await servers.is_executed("GET-held")
            await servers.is_executed("POST-held")
            servers.signal(signal.SIGSTOP)
            for number in range(20):  # some before the loss is noticed, some after
                outcomes.call(("GET", "POST")[number % 2], f"n{number}")
                await trio.sleep(0.2)
            assert not client.is_connected
            servers.signal(signal.SIGCONT)
    assert set(outcomes.by_id.values()) == {200}, outcomes.by_id
    executions = servers.executions()
    assert all(executions[one] == 1 for one in outcomes.by_id)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_with_two_brokers_idempotent_calls_lose_time_only(
    servers: Servers, tmp_path: Path, how: int
) -> None:
    (tmp_path / "other").mkdir()
    other = Servers(tmp_path / "other")
    try:
        await servers.start()
        with trio.fail_after(25):
            both = f"{servers.endpoint},{other.endpoint}"
            async with trizmq.open_client(both) as client, trio.open_nursery() as nursery:
                outcomes = Outcomes(client, nursery)
                assert (await client.get("/job/first")).status == 200
                await other.start()
                await trio.sleep(0.5)
                for number in range(10):
                    outcomes.call("GET", f"held{number}", "hold/", seconds=1.5)
                await servers.is_executed("held9")
                servers.signal(how)
                for number in range(10):
                    await trio.sleep(0.3)
                    outcomes.call("GET", f"get{number}")
                    if number >= 8:  # it has been noticed by now
                        outcomes.call("POST", f"post{number}")
    finally:
        other.close()
    assert set(outcomes.by_id.values()) == {200}, outcomes.by_id
    assert max(outcomes.seconds.values()) < 8
    executions = servers.executions() + other.executions()
    assert all(executions[one] == 1 for one in outcomes.by_id if one.startswith("post"))


@pytest.mark.parametrize("lost", ["nothing", "requests", "responses"])
async def test_a_connection_that_is_cut_comes_back(servers: Servers, lost: str) -> None:
    await servers.start()
    with trio.fail_after(20):
        async with (
            forwarding(servers.endpoint) as forwarder,
            trizmq.open_client(forwarder.endpoint) as client,
        ):
            async with trio.open_nursery() as nursery:
                outcomes = Outcomes(client, nursery)
                assert (await client.get("/job/first")).status == 200
                forwarder.holds_requests = lost == "requests"
                forwarder.holds_responses = lost == "responses"
                seconds = 0.0 if lost == "responses" else 0.5
                for method in ("GET", "POST"):
                    outcomes.call(method, method, "hold/", seconds=seconds)
                if lost == "requests":
                    await trio.sleep(0.2)
                else:
                    await servers.is_executed("GET")
                    await servers.is_executed("POST")
                    await trio.sleep(0.1)
                forwarder.cut()
            assert forwarder.connections >= 2
            assert (await client.post("/job/last")).status == 200
    wanted = "Unreachable maybe" if lost == "responses" else 200
    assert outcomes.by_id == {"GET": wanted, "POST": wanted}
    assert max(servers.executions().values()) == 1


@pytest.mark.slow
async def test_a_client_that_is_killed_frees_what_it_had(open_broker: Any, tmp_path: Path) -> None:
    script = Path(__file__).parent / "client_with_calls.py"
    async with open_broker() as (endpoint, broker):
        process = subprocess.Popen(
            [sys.executable, str(script), endpoint, "10"], stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            await trio.to_thread.run_sync(process.stdout.readline)
            process.kill()
        began = trio.current_time()
        with trio.fail_after(10):
            while broker.in_flight:
                await trio.sleep(0.02)
        assert trio.current_time() - began < 3.5


@pytest.mark.parametrize("seconds", [0.0, 1.0])
async def test_waits_for_a_server_that_is_not_there_yet(servers: Servers, seconds: float) -> None:
    with trio.fail_after(20):
        async with trizmq.open_client(servers.endpoint) as client, trio.open_nursery() as nursery:
            outcomes = Outcomes(client, nursery)
            outcomes.call("POST", "early")
            await trio.sleep(seconds)
            await servers.start()
    assert outcomes.by_id == {"early": 200}
    assert servers.executions() == {"early": 1}
