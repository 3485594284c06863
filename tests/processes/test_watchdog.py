"""The watchdog: a stuck loop is reported with task and line; no process outlives its parent."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from trizmq.beside import running
from trizmq.processes.children import SUPERVISED
from trizmq.processes.watchdog import Watchdog, end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

ENDS_WITH_PARENT = """
import re, sys, time
from trizmq.processes.watchdog import end_with_parent

print(end_with_parent(), flush=True)
exec(sys.argv[1])
"""


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "trizmq.watchdog"]


async def watched(work: Callable[[], object]) -> None:
    """Run next to an impatient watchdog, and let it notice the end."""
    async with running(Watchdog(patience=0.4).run):
        work()
        await trio.sleep(1.1)


def hang() -> None:
    time.sleep(1.2)


HANGING_LINE = hang.__code__.co_firstlineno + 1


@pytest.mark.slow
async def test_a_report_names_task_file_line_and_function(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    await watched(hang)
    stuck, over = messages(caplog)
    assert stuck.startswith("stuck for ")
    assert f" s: {__file__}, line {HANGING_LINE}, in hang; task " in stuck
    assert "test_a_report_names" in stuck.rpartition("; task ")[2]
    assert over.startswith("no longer stuck, after 1.")
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


@pytest.mark.slow
async def test_a_report_shows_the_caller_of_the_standard_library(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    await watched(partial(threading.Event().wait, 1.2))
    assert f"{__file__}, line " in messages(caplog)[0]
    assert "in watched; task " in messages(caplog)[0]


@pytest.mark.slow
async def test_a_loop_that_makes_progress_is_not_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await watched(lambda: time.sleep(0.1))
    assert messages(caplog) == []


async def test_the_watchdog_ends_with_its_run() -> None:
    async with running(Watchdog().run):
        (thread,) = (t for t in threading.enumerate() if t.name == "trizmq watchdog")
    await trio.to_thread.run_sync(thread.join, 2)
    assert not thread.is_alive()


def start(code: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen(
        [sys.executable, "-c", ENDS_WITH_PARENT, code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, SUPERVISED: "0"},
    )
    assert child.stdout
    assert child.stdout.readline() == b"True\n"
    return child


@pytest.mark.parametrize(
    "code",
    [
        "time.sleep(60)",
        # Holds the GIL, so no Python thread can act.
        "re.match('(a+)+b', 'a' * 60)",
    ],
)
def test_a_hanging_process_ends_with_its_supervisor(code: str) -> None:
    with start(code) as child:
        assert child.stdin
        child.stdin.close()
        try:
            assert child.wait(2) != 0
        finally:
            child.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing runs while it is stopped")
def test_a_stopped_process_ends_with_its_supervisor() -> None:
    with start("time.sleep(60)") as child:
        child.send_signal(signal.SIGSTOP)
        assert child.stdin
        child.stdin.close()
        try:
            assert child.wait(2) == -signal.SIGKILL
        finally:
            child.kill()


def test_without_a_supervisor_the_process_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SUPERVISED, raising=False)
    assert not end_with_parent()


def test_child_processes_do_not_inherit_the_supervisor() -> None:
    with start("import os; print(os.environ.get('TRIZMQ_SUPERVISED'))") as child:
        assert child.stdout
        assert child.stdout.readline() == b"None\n"
        child.communicate()
