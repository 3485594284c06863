"""Workers and brokers that are killed, frozen or drained under load, as real processes.

Every call has a name, every handler logs the names of its calls, and every outcome is recorded:
then they are compared. There must be none of these: hanging calls, repeated plain calls, responses
to the wrong caller.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq
from trizmq.messages import Response

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.slow

#: How long workers are lost under load, one after another.
SECONDS = 11


class Book:
    """The calls, their outcomes, and the executions in the workers' logs."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.outcomes: dict[str, Response | trizmq.CallError] = {}

    async def call(self, client: trizmq.Client, method: str, call_id: str, path: str = "") -> None:
        try:
            with trio.fail_after(20):
                outcome: Any = await client.request(method, f"/job/{path}{call_id}")
        except trizmq.CallError as error:
            outcome = error
        assert call_id not in self.outcomes
        self.outcomes[call_id] = outcome

    @property
    def done(self) -> Counter[str]:
        """Return how often each call was started."""
        return Counter(line.split()[0] for line in self.log.read_text().splitlines())

    def check(self) -> None:
        """Check everything against the guarantees."""
        done = self.done
        for call_id, outcome in self.outcomes.items():
            if isinstance(outcome, Response) and outcome.status == 200:
                assert outcome.json() == call_id, "the response to another call"
                assert done[call_id] >= 1
            if call_id.startswith("get"):
                assert isinstance(outcome, Response), (call_id, outcome)
                assert outcome.status == 200, (call_id, outcome)
                assert done[call_id] <= 3
            else:
                assert done[call_id] <= 1, "a plain call was done twice"
                self._check_certainty(outcome, done[call_id])

    def _check_certainty(self, outcome: Response | trizmq.CallError, done: int) -> None:
        if isinstance(outcome, Response) and outcome.status == 200:
            return
        if isinstance(outcome, Response):
            assert outcome.status in (502, 503), outcome
            executed = outcome.json()["executed"]
        else:
            executed = outcome.executed
        assert executed == "maybe" or not done, outcome

    def count(self, prefix: str, status: int) -> int:
        return sum(
            isinstance(outcome, Response) and outcome.status == status
            for call_id, outcome in self.outcomes.items()
            if call_id.startswith(prefix)
        )


@pytest.fixture
def book(tmp_path) -> Book:
    (tmp_path / "log").touch()
    return Book(tmp_path / "log")


@pytest.fixture
def hire(start, book):
    """``hire(server, *names)``: worker processes by name, when they are ready."""

    async def hire(server, *names: str) -> dict[str, subprocess.Popen]:
        want = len(server.broker.workers) + len(names)
        worker = partial(start, "logging_process", "worker", server.backend, str(book.log))
        hired = {name: worker(name) for name in names}
        with trio.fail_after(20):
            while len(server.broker.workers) < want:
                await trio.sleep(0.01)
        return hired

    return hire


async def load(client, book: Book, seconds: float, rate: int = 300) -> None:
    """Make ``rate`` calls a second, half of them plain, and wait until all have ended."""
    async with trio.open_nursery() as nursery:
        started = trio.current_time()
        for number in range(int(seconds * rate)):
            method = ("GET", "POST")[number % 2]
            call_id = f"{method.lower()}-{number}"
            nursery.start_soon(book.call, client, method, call_id)
            await trio.sleep(max(0, started + number / rate - trio.current_time()))


async def test_one_worker_of_four_after_another_is_lost_under_load(open_server, hire, book) -> None:
    """One is killed, one is frozen for five seconds, one drains."""
    async with open_server() as server, trizmq.open_client(server.endpoint) as client:
        workers = await hire(server, "killed", "frozen", "leaving", "steady")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load, client, book, SECONDS)
            await trio.sleep(1)
            workers["killed"].kill()
            await trio.sleep(1)
            workers["frozen"].send_signal(signal.SIGSTOP)
            await trio.sleep(5)
            workers["frozen"].send_signal(signal.SIGCONT)
            await trio.sleep(1.5)
            workers["leaving"].send_signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(workers["leaving"].wait) == 0
        book.check()
        assert len(book.outcomes) == SECONDS * 300
        assert book.count("post", 200) > 0.9 * SECONDS * 150
        assert server.broker.in_flight == 0
        names = {worker.name for worker in server.broker.workers}
        assert names == {"frozen", "steady"}  # the frozen one has returned
        by = Counter(line.split()[1] for line in book.log.read_text().splitlines())
        assert set(by) == {"killed", "frozen", "leaving", "steady"}


async def test_late_responses_of_a_frozen_worker_reach_no_caller(open_server, hire, book) -> None:
    async with open_server() as server, trizmq.open_client(server.endpoint) as client:
        workers = await hire(server, "frozen")
        async with trio.open_nursery() as nursery:
            for number in range(10):
                method = ("GET", "POST")[number % 2]
                call_id = f"{method.lower()}-{number}"
                nursery.start_soon(book.call, client, method, call_id, "hold/")
            with trio.fail_after(5):
                while sum(book.done.values()) < 10:
                    await trio.sleep(0.01)
            workers["frozen"].send_signal(signal.SIGSTOP)
            await hire(server, "steady")
        workers["frozen"].send_signal(signal.SIGCONT)
        with trio.fail_after(10):
            while {worker.name for worker in server.broker.workers} != {"frozen", "steady"}:
                await trio.sleep(0.05)
        await trio.sleep(1.6)  # it could have responded by now if it continued
        book.check()
        assert book.count("post", 502) == 5
        assert client.is_connected
        counters = server.broker.counters
        assert (counters.answered, counters.lost, counters.redispatched) == (5, 5, 5)


async def test_a_request_that_kills_its_workers_stops_after_two(open_server, hire, book) -> None:
    async with open_server() as server, trizmq.open_client(server.endpoint) as client:
        await hire(server, "one", "two", "three", "four")
        with trio.fail_after(15):
            response = await client.get("/job/poison")
        assert response.status == 502
        assert response.json()["executed"] == "maybe"
        assert book.done["poison"] == 2
        assert len(server.broker.workers) == 2
        await book.call(client, "GET", "get-after")
        assert book.count("get-after", 200) == 1


async def test_a_handler_that_blocks_its_thread_keeps_its_worker(open_server, hire) -> None:
    """Longer than the broker's patience: heartbeats come from the loop, not from handlers."""
    async with open_server() as server, trizmq.open_client(server.endpoint) as client:
        await hire(server, "blocked")
        with trio.fail_after(20):
            assert (await client.get("/job/block-thread/a?seconds=4.5")).json() == "a"
        assert server.broker.counters.redispatched == 0


# -- the broker is lost --------------------------------------------------------------------


class BrokerProcess:
    """A broker that can be killed, and started again at the same endpoints."""

    def __init__(self, start, folder: Path) -> None:
        self._start = start
        self.front, self.back = f"ipc://{folder}/front", f"ipc://{folder}/back"
        self.process: subprocess.Popen | None = None

    async def run(self) -> None:
        self.process = self._start("broker_process", self.front, self.back)
        assert self.process.stdout is not None
        assert await trio.to_thread.run_sync(self.process.stdout.readline) == b"up\n"

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)


@pytest.fixture
def broker(start, tmp_path) -> BrokerProcess:
    return BrokerProcess(start, tmp_path)


async def test_every_call_ends_when_the_broker_is_killed_and_comes_back(
    broker, start, book
) -> None:
    await broker.run()
    for name in ("one", "two", "three", "four", "five"):
        start("logging_process", "worker", broker.back, str(book.log), name)
    async with trizmq.open_client(broker.front) as client, trizmq.open_client(broker.front) as more:
        await book.call(client, "GET", "get-first")
        async with trio.open_nursery() as nursery:
            for number in range(2000):
                method = ("GET", "POST")[number % 2]
                call_id = f"{method.lower()}-{number}"
                caller = (client, more)[number % 4 // 2]
                nursery.start_soon(book.call, caller, method, call_id, "hold/")
            with trio.fail_after(10):
                while len(book.done) < 500:
                    await trio.sleep(0.01)
            broker.signal(signal.SIGKILL)
            broker.process.wait()
            await broker.run()
        book.check()
        assert len(book.outcomes) == 2001
        lost = [one for one in book.outcomes.values() if isinstance(one, trizmq.Unreachable)]
        assert len(lost) > 200


async def test_a_broker_that_is_frozen_is_noticed_and_used_again_later(broker, start, book) -> None:
    await broker.run()
    start("logging_process", "worker", broker.back, str(book.log), "one")
    async with trizmq.open_client(broker.front) as client:
        await book.call(client, "GET", "get-first")
        broker.signal(signal.SIGSTOP)
        with trio.fail_after(6):
            while client.is_connected:
                await trio.sleep(0.05)
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(book.call, client, "GET", f"get-{number}")
            await trio.sleep(0.5)
            broker.signal(signal.SIGCONT)
        book.check()
        assert client.is_connected
        for number in range(10):
            await book.call(client, "POST", f"post-{number}")
        assert book.count("post", 200) == 10
