"""The supervisor: N children, restarted, replaced, stopped; and none outlives its parent."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio

from trizmq.processes import supervisor as supervisor_module
from trizmq.processes.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

#: Writes its name and pid to a file, and then follows its argument.
CHILD = """
import os, pathlib, signal, sys, time

def say(word):
    path = pathlib.Path(sys.argv[1], os.environ["TRIZMQ_WORKER_NAME"])
    path.with_suffix(".tmp").write_text(f"{os.getpid()} {word}")
    path.with_suffix(".tmp").rename(path)

signal.signal(signal.SIGTERM, lambda *_: (say("left"), sys.exit(0)))
exec(sys.argv[2])
say("up")
while True:
    time.sleep(60)
"""

CHILD_OF_A_PARENT_THAT_IS_KILLED = """
import os, time
from trizmq.processes.watchdog import end_with_parent

end_with_parent()
os.write(1, b"up;")
time.sleep(60)
"""

PARENT = """
import sys, trio
from trizmq.processes.supervisor import Supervisor

command = [sys.executable, "-c", sys.argv[1]]
trio.run(Supervisor(command, count=4, grace=1, on_exit=print).run)
"""


@dataclass
class Children:
    """The events of a supervisor's children."""

    directory: Path
    supervisor: Supervisor = field(init=False)
    ended: list[tuple[str, str]] = field(default_factory=list)

    def pids(self, word: str = "up") -> dict[str, int]:
        said = {path.name: path.read_text().split() for path in self.directory.glob("w?-??????")}
        return {name: int(pid) for name, (pid, what) in said.items() if what == word}

    def alive(self) -> set[str]:
        return {name for name, pid in self.pids().items() if is_alive(pid)}

    async def until(self, is_so: Callable[[], object]) -> None:
        with trio.fail_after(5):
            while not is_so():
                await trio.sleep(0.01)

    async def until_alive(self, count: int) -> set[str]:
        await self.until(lambda: len(self.alive()) == count)
        return self.alive()

    def make_ready(self) -> None:
        for name in self.alive():
            self.supervisor.note_ready(name)

    async def keep_making_ready(self) -> None:
        while True:
            self.make_ready()
            await trio.sleep(0.01)


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trizmq.supervisor")


@pytest.fixture
def children(tmp_path: Path) -> Children:
    return Children(tmp_path)


@asynccontextmanager
async def supervising(
    children: Children, *, count: int, grace: float = 5.0, then: str = ""
) -> AsyncIterator[Supervisor]:
    """Supervise children that run ``then`` first during the block; then check that none is left."""
    command = [sys.executable, "-c", CHILD, str(children.directory), then]
    supervisor = Supervisor(
        command, count=count, grace=grace, on_exit=lambda *end: children.ended.append(end)
    )
    children.supervisor = supervisor
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        yield supervisor
        nursery.cancel_scope.cancel()
    assert not children.alive()


async def test_each_child_has_a_name_and_none_outlives_a_cancellation(children: Children) -> None:
    async with supervising(children, count=3):
        names = await children.until_alive(3)
        assert sorted(name[:3] for name in names) == ["w1-", "w2-", "w3-"]
    assert children.ended == []


async def test_a_cancellation_during_the_start_leaves_no_children(tmp_path: Path) -> None:
    for steps in range(12):
        supervisor = Supervisor(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            count=2,
            grace=1,
            on_exit=lambda *_: None,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert has_no_child()


async def test_a_killed_child_is_reported_and_replaced_with_the_same_number(
    children: Children, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervising(children, count=2):
        before = await children.until_alive(2)
        killed = min(before)
        os.kill(children.pids()[killed], signal.SIGKILL)
        await children.until(lambda: len(children.alive() - before) == 1)
        (newcomer,) = children.alive() - before
        assert newcomer[:3] == killed[:3] == "w1-"
        assert children.ended == [(killed, "SIGKILL")]
    assert f"{killed} died: SIGKILL; starting another in 0.0 s" in caplog.text


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        ("sys.exit(7)", "exit status 7"),
        ("sys.exit(0)", "exit status 0"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 1)", f"signal {signal.SIGRTMIN + 1}"),
    ],
)
async def test_the_reasons_of_ends_are_reported(children: Children, then: str, reason: str) -> None:
    async with supervising(children, count=1, then=then):
        await children.until(lambda: children.ended)
        assert children.ended[0][1] == reason


@pytest.mark.slow
async def test_children_that_keep_dying_are_restarted_five_times_before_a_pause(
    children: Children, caplog: pytest.LogCaptureFixture
) -> None:
    async with supervising(children, count=1, then="sys.exit(7)"):
        await children.until(lambda: len(children.ended) == 5)
        await trio.sleep(0.5)
        assert len(children.ended) == 5
        await children.until(lambda: len(children.ended) == 6)
    assert "starting another in 1.0 s" in caplog.text
    assert "starting another in 2.0 s" in caplog.text


async def test_a_command_that_cannot_be_started_counts_as_a_death(tmp_path: Path) -> None:
    ended: list[str] = []
    supervisor = Supervisor(
        [str(tmp_path / "nothing")], count=1, grace=1, on_exit=lambda _, why: ended.append(why)
    )
    with trio.move_on_after(0.5):
        await supervisor.run()
    assert len(ended) == 5
    assert ended[0].startswith("not started: ")
    assert "No such file" in ended[0]


async def test_a_hanging_child_is_killed_when_the_broker_has_lost_it(children: Children) -> None:
    async with supervising(children, count=1) as supervisor:
        (name,) = await children.until_alive(1)
        os.kill(children.pids()[name], signal.SIGSTOP)
        supervisor.note_lost(name, "silent for 3 s")
        await children.until(lambda: children.alive() - {name})
        assert children.ended == [(name, "SIGKILL (silent for 3 s)")]
        supervisor.note_lost(name, "again")
        supervisor.note_ready(name)


async def test_children_are_replaced_one_by_one_and_their_number_never_drops(
    children: Children,
) -> None:
    async with supervising(children, count=3) as supervisor:
        before = await children.until_alive(3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.replace_all)
            # The first successor is up; until the broker accepts it, no child has to leave.
            await children.until_alive(4)
            assert before < children.alive()
            nursery.start_soon(children.keep_making_ready)
            while before & children.alive():
                assert 3 <= len(children.alive()) <= 4
                await trio.lowlevel.checkpoint()
            await children.until_alive(3)
            nursery.cancel_scope.cancel()
        await children.until(lambda: len(children.ended) == 3)
        assert {reason for _, reason in children.ended} == {"exit status 0"}
        assert [name for name, _ in children.ended] == sorted(before)
        assert sorted(name[:3] for name in children.alive()) == ["w1-", "w2-", "w3-"]


async def test_old_children_stay_if_a_successor_is_not_ready_in_time(
    children: Children, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor_module, "READY_SECONDS", 0.3)
    async with supervising(children, count=2) as supervisor:
        before = await children.until_alive(2)
        with trio.fail_after(5):
            await supervisor.replace_all()
        await children.until(lambda: children.ended)
        assert children.alive() == before
        ((_, reason),) = children.ended
        assert reason == "SIGKILL (not ready in time)"
    assert "keeping the old" in caplog.text


async def test_stop_lets_children_leave_without_restarts(children: Children) -> None:
    async with supervising(children, count=3) as supervisor:
        names = await children.until_alive(3)
        with trio.fail_after(2):
            await supervisor.stop()
        assert set(children.pids("left")) == names
        assert {reason for _, reason in children.ended} == {"exit status 0"}


async def test_run_returns_after_stop(children: Children) -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            supervisor = Supervisor(
                [sys.executable, "-c", "import time; time.sleep(60)"],
                count=2,
                grace=5,
                on_exit=lambda *_: None,
            )
            await nursery.start(supervisor.run)
            await supervisor.stop()


async def test_a_child_that_ignores_signals_is_killed_after_the_grace_period(
    children: Children,
) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    async with supervising(children, count=2, grace=0.3, then=deaf) as supervisor:
        await children.until_alive(2)
        began = trio.current_time()
        await supervisor.stop()
        assert 0.3 <= trio.current_time() - began < 1.5
        assert {reason for _, reason in children.ended} == {"SIGKILL (it did not end in time)"}


async def test_stop_ends_a_replacement(children: Children) -> None:
    async with supervising(children, count=2) as supervisor:
        await children.until_alive(2)
        with trio.fail_after(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(supervisor.replace_all)
                await children.until_alive(3)
                await supervisor.stop()
        assert not children.alive()


async def test_a_signal_to_the_terminal_reaches_only_the_parent(children: Children) -> None:
    async with supervising(children, count=1):
        (name,) = await children.until_alive(1)
        assert os.getpgid(children.pids()[name]) != os.getpgid(0)


def test_no_child_outlives_a_killed_parent() -> None:
    command = [sys.executable, "-c", PARENT, CHILD_OF_A_PARENT_THAT_IS_KILLED]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        try:
            assert parent.stdout.read(12) == b"up;" * 4
        finally:
            parent.kill()
        # Each child holds the other end of this pipe, which closes with the last of them.
        assert within(2, parent.stdout.read) == b""


def has_no_child() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Run blocking code, and fail if it takes too long."""

    async def bounded() -> bytes:
        with trio.fail_after(seconds):
            return await trio.to_thread.run_sync(work, abandon_on_cancel=True)

    return trio.run(bounded)
