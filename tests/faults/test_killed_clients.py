"""Clients that die with calls in flight: their resources are released."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

CLIENT = Path(__file__).parent / "client_with_calls.py"
CALLS = 100
LIVES = 50


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def live_and_die(endpoint: str, calls: int = CALLS) -> None:
    command = [sys.executable, str(CLIENT), endpoint, str(calls)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        read_line = process.stdout.readline
        try:
            assert await trio.to_thread.run_sync(read_line) == b"out\n"
        finally:
            process.kill()


@pytest.mark.slow
async def test_resources_of_a_killed_client_are_released_within_seconds(open_broker) -> None:
    async with open_broker() as (endpoint, broker):
        await live_and_die(endpoint, calls=10)
        began = trio.current_time()
        with trio.fail_after(10):
            while broker.in_flight:
                await trio.sleep(0.02)
        assert trio.current_time() - began < 3.5


@pytest.mark.slow
async def test_fifty_clients_are_killed_with_a_hundred_calls_each(open_broker) -> None:
    async with open_broker() as (endpoint, broker):
        await live_and_die(endpoint)
        before = resident_bytes()
        for _ in range(LIVES // 5):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(live_and_die, endpoint)
            with trio.fail_after(30):  # a second or two; more on a busy machine
                while broker.in_flight or broker.services["test"].in_flight:
                    await trio.sleep(0.05)
        assert broker.counters.cancelled >= LIVES * CALLS
        assert resident_bytes() - before < 10_000_000
