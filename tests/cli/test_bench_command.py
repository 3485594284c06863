"""`trizmq bench`: figures for a service, and a result as exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from trizmq.cli.bench import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import CommandLine

SERVICE = """
import trio, trizmq

routes = trizmq.Router("/service")
served = 0

@routes.get("/quick")
async def quick() -> str:
    return "quick"

@routes.get("/unsteady")
async def unsteady() -> str | None:
    global served
    served += 1
    if served > 9:
        await trio.sleep_forever()
    return None if served > 5 else "steady"

@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes
"""

BRIEF = ["--concurrency", "3", "--duration", "0.1"]


@pytest.fixture
def service(trizmq: CommandLine) -> Iterator[CommandLine]:
    trizmq.module("service", SERVICE)
    with trizmq.serving("--plugins", "", "-p", "service"):
        yield trizmq


def test_figures_for_programs(service: CommandLine) -> None:
    result = service("bench", "get", "/service/quick", *BRIEF, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert (report["method"], report["path"], report["concurrency"]) == ("GET", "/service/quick", 3)
    assert report["outcomes"] == {"200": report["calls"]}
    assert report["calls"] == sum(bar["calls"] for bar in report["histogram"]) >= 3
    assert report["calls_per_second"] == pytest.approx(report["calls"] / report["seconds"])
    latency = report["latency"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]


def test_figures_for_people_and_the_broker_is_the_default_target(service: CommandLine) -> None:
    result = service("bench", *BRIEF)
    assert (result.exit_code, result.stderr) == (0, "")
    calls, latency, outcomes, *bars = result.stdout.splitlines()
    assert calls.endswith("calls/s")
    assert latency.startswith("p50 ")
    assert outcomes.startswith("200: ")
    assert any("###" in bar for bar in bars)


def test_failed_and_unanswered_calls_are_counted_and_the_exit_code_is_1(
    service: CommandLine,
) -> None:
    args = ["GET", "/service/unsteady", "--concurrency", "2", "--duration", "0.1"]
    result = service("bench", *args, "--timeout", "0.3", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["outcomes"] == {"unanswered": 2}
    result = service("bench", "GET", "/nowhere", *BRIEF)
    assert result.exit_code == 1
    assert "404: " in result.stdout or "503: " in result.stdout


def test_without_a_server_the_exit_code_is_3(trizmq: CommandLine) -> None:
    endpoint = f"ipc://{trizmq.directory}/nobody"
    result = trizmq("bench", "--timeout", "0.2", "--connect", endpoint)
    assert result.exit_code == 3
    assert result.stderr.startswith("trizmq: no answer: ipc://")


@pytest.mark.parametrize("args", [["GET", "service"], ["--concurrency", "0"], ["--duration", "0"]])
def test_invalid_measurements_are_exit_code_2(trizmq: CommandLine, args: list[str]) -> None:
    result = trizmq("bench", "--timeout", "0.2", *args)
    assert result.exit_code == 2, result.stderr


def test_progress_is_shown_on_a_terminal(service: CommandLine) -> None:
    command = [sys.executable, "-m", "trizmq", "bench", *BRIEF]
    environment = {**os.environ, **service.environment}
    master, slave = os.openpty()
    with os.fdopen(slave, "wb") as terminal, os.fdopen(master, "rb", buffering=0) as screen:
        done = subprocess.run(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=terminal,
            timeout=20,
            check=True,
        )
        assert b"calls/s" in done.stdout
        assert b"[#" in screen.read(10_000)


def test_a_histogram_loses_only_precision() -> None:
    histogram = Histogram()
    for milliseconds in range(1, 1001):
        histogram.note(milliseconds / 1000)
    assert histogram.quantile(0.5) == pytest.approx(0.5, rel=0.1)
    assert histogram.quantile(0.99) == pytest.approx(0.99, rel=0.1)
    assert histogram.quantile(1) == histogram.most == 1
    bars = histogram.bars()
    assert sum(bar.calls for bar in bars) == histogram.count == 1000
    assert [bar.high for bar in bars[:-1]] == [bar.low for bar in bars[1:]]


def test_a_histogram_may_be_empty_or_of_durations_below_the_clocks_resolution() -> None:
    histogram = Histogram()
    assert (histogram.quantile(0.5), histogram.bars()) == (0, [])
    histogram.note(0)
    assert [bar.calls for bar in histogram.bars()] == [1]
    assert histogram.quantile(0.5) == 0
