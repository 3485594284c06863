"""A serving process reacts to signals: it drains, reloads, or ends immediately."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import trio
import trio.testing

from trizmq.processes import signals as module
from trizmq.processes.signals import receiving

pytestmark = pytest.mark.skipif(os.name != "posix", reason="these signals are POSIX")


@pytest.fixture
def orders(monkeypatch) -> list[tuple[float, int]]:
    """The requests to end by force, which are not carried out."""
    given: list[tuple[float, int]] = []
    monkeypatch.setattr(module, "end_within", lambda seconds, code: given.append((seconds, code)))
    return given


def send(number: int) -> None:
    os.kill(os.getpid(), number)


async def test_the_first_signal_drains(orders) -> None:
    former = signal.getsignal(signal.SIGTERM)
    drained = trio.Event()

    async def drain() -> None:
        drained.set()

    with trio.fail_after(5), receiving(wanted=True, patience=7) as signals:
        assert signals is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signals.obey, drain)
            send(signal.SIGTERM)
        assert drained.is_set()
    assert orders == [(7 + module.UNWIND_SECONDS, 1)]
    assert signal.getsignal(signal.SIGTERM) is former


async def test_the_second_signal_ends_the_drain(orders) -> None:
    draining = trio.Event()

    async def drain() -> None:
        draining.set()
        await trio.sleep_forever()

    with trio.fail_after(5), receiving(wanted=True, patience=7) as signals:
        assert signals is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signals.obey, drain)
            send(signal.SIGINT)
            await draining.wait()
            send(signal.SIGTERM)
    assert orders[-1] == (module.NOW_SECONDS, 1)


async def test_signals_during_a_reload_cause_one_more(orders, monkeypatch) -> None:
    monkeypatch.setattr(module, "_has_terminal", lambda: True)
    started, finish = trio.open_memory_channel[None](9), trio.open_memory_channel[None](9)

    async def reload() -> None:
        started[0].send_nowait(None)
        await finish[1].receive()

    async def drain() -> None:
        pass

    with trio.fail_after(5), receiving(wanted=True, patience=7) as signals:
        assert signals is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signals.obey, drain, reload)
            send(signal.SIGHUP)
            await started[1].receive()
            send(signal.SIGHUP)
            send(signal.SIGHUP)
            finish[0].send_nowait(None)
            await started[1].receive()
            finish[0].send_nowait(None)
            await trio.testing.wait_all_tasks_blocked()
            assert started[1].statistics().current_buffer_used == 0
            assert orders == []
            send(signal.SIGTERM)


async def test_no_signal_is_caught_unless_requested() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with receiving(wanted=False, patience=1) as signals:
        assert signals is None
        assert signal.getsignal(signal.SIGTERM) is former


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
async def test_a_forked_child_has_the_default_handlers(orders) -> None:
    with receiving(wanted=True, patience=1):
        child = os.fork()
        if child == 0:
            defaults = {signal.getsignal(number) for number in module.CAUGHT} == {signal.SIG_DFL}
            os._exit(0 if defaults else 1)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222 (it ends at once)
    assert os.waitstatus_to_exitcode(status) == 0


FORKS = """
import os, signal, time, trio
from trizmq.processes.signals import receiving

async def main():
    with receiving(wanted=True, patience=1):
        for _ in range(200):
            child = os.fork()
            if not child:
                time.sleep(20)
                os._exit(0)
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)
            assert os.WTERMSIG(status) == signal.SIGTERM, status
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()

trio.run(main)
"""


def test_a_signal_during_a_fork_ends_the_child() -> None:
    subprocess.run([sys.executable, "-c", FORKS], check=True, timeout=60)
