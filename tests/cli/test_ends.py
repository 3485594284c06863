"""How a server ends, whatever handlers leave behind and however it is stopped."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import CommandLine, Server

LEAVES = """
import atexit, concurrent.futures, multiprocessing, os, subprocess, sys, threading, time
import trio, trizmq

routes = trizmq.Router("/leave")
KEPT = []

@routes.post("/thread")
async def thread() -> str:
    threading.Thread(target=time.sleep, args=[600], name="forgotten").start()
    return "thread 'forgotten'"

@routes.post("/executor")
async def executor() -> str:
    KEPT.append(concurrent.futures.ThreadPoolExecutor(1, "pool"))
    KEPT[-1].submit(time.sleep, 600)
    return "thread 'pool_0'"

@routes.post("/process")
async def process() -> str:
    KEPT.append(multiprocessing.get_context("fork").Process(target=time.sleep, args=[600]))
    KEPT[-1].start()
    print(KEPT[-1].pid, flush=True)
    return f"child process {KEPT[-1].pid}"

@routes.post("/fork")
async def fork() -> str:
    pid = os.fork()
    if pid == 0:
        try:
            time.sleep(600)
        finally:
            os._exit(1)
    print(pid, flush=True)
    return f"child process {pid}"

@routes.post("/fork-in-thread")
def fork_in_thread() -> str:
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(1)
    print(pid, flush=True)
    return f"child process {pid}"

@routes.post("/hook")
async def hook() -> str:
    atexit.register(time.sleep, 600)
    return "an exit hook"

@routes.post("/nothing")
async def nothing() -> str:
    return ""

@routes.post("/shield")
async def shield() -> None:
    print("running", flush=True)
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()

@routes.post("/block")
async def block() -> None:
    print("running", flush=True)
    time.sleep(600)

@routes.get("/stdin")
def stdin() -> str:
    return subprocess.run(["cat"], capture_output=True, timeout=5).stdout.decode() + "read"

@routes.get("/pid")
async def pid() -> int:
    return os.getpid()

@trizmq.hookimpl
def trizmq_register_routes():
    return routes
"""

SERVE = ("--plugins", "", "-p", "leaves", "--grace", "0.2")


@pytest.fixture(autouse=True)
def _leaves(trizmq: CommandLine) -> None:
    trizmq.module("leaves", LEAVES)


def lines_of(server: Server) -> list[dict[str, str]]:
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def messages_of(server: Server) -> str:
    return "\n".join(line["message"] for line in lines_of(server))


def end(server: Server, within: float, number: int = signal.SIGTERM) -> int:
    began = time.monotonic()
    server.process.send_signal(number)
    code = server.process.wait(within + 10)
    assert time.monotonic() - began < within
    return code


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one-process", "workers"])
@pytest.mark.parametrize("what", ["thread", "executor", "process", "fork", "hook", "nothing"])
def test_threads_and_processes_of_handlers_do_not_keep_the_process_alive(
    trizmq: CommandLine, what: str, workers: tuple[str, ...]
) -> None:
    with trizmq.serving(*SERVE, *workers) as server:
        left = trizmq("call", "POST", f"/leave/{what}", "--timeout", "10").stdout.strip('"\n')
        assert end(server, within=8) == 0
        assert left in messages_of(server)
        if "child process" in left:
            os.kill(int(left.split()[-1]), signal.SIGKILL)


@pytest.mark.parametrize("how", ["process", "fork", "fork-in-thread"])
def test_a_child_that_a_handler_forks_obeys_sigterm(trizmq: CommandLine, how: str) -> None:
    with trizmq.serving(*SERVE) as server:
        trizmq("call", "POST", f"/leave/{how}")
        assert server.process.stdout
        pid = int(server.process.stdout.readline())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while not is_dead(pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # The server has not adopted it.
        assert trizmq("call", "POST", "/leave/nothing").exit_code == 0
        assert end(server, within=8) == 0


def is_dead(pid: int) -> bool:
    with suppress(OSError), open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] == "Z"
    return True


@pytest.mark.slow
@pytest.mark.parametrize("how", ["shield", "block"])
def test_a_handler_that_never_ends_is_abandoned(trizmq: CommandLine, how: str) -> None:
    with trizmq.serving(*SERVE) as server:
        with trizmq.start("call", "POST", f"/leave/{how}") as caller:
            assert server.process.stdout
            assert server.process.stdout.readline() == b"running\n"
            assert end(server, within=15) == 1
            assert "ended by force" in messages_of(server)
            caller.kill()


@pytest.mark.slow
def test_a_second_signal_ends_a_server_that_is_stuck_sooner(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "", "-p", "leaves") as server:  # the grace is 20 s
        with trizmq.start("call", "POST", "/leave/block") as caller:
            assert server.process.stdout
            assert server.process.stdout.readline() == b"running\n"
            server.process.terminate()
            time.sleep(0.2)
            assert end(server, within=8) == 1
            caller.kill()


def test_the_standard_input_of_a_worker_is_empty(trizmq: CommandLine) -> None:
    with trizmq.serving(*SERVE, "--workers", "1") as server:
        result = trizmq("call", "GET", "/leave/stdin", "--timeout", "10")
        assert (result.exit_code, result.stdout) == (0, '"read"')
        assert end(server, within=8) == 0


# -- SIGHUP ------------------------------------------------------------------------------


def until_said(server: Server, what: str, times: int = 1) -> None:
    deadline = time.monotonic() + 20
    while messages_of(server).count(what) < times:
        assert time.monotonic() < deadline, messages_of(server)
        time.sleep(0.02)


def test_reloads_that_are_requested_during_a_reload_are_one(trizmq: CommandLine) -> None:
    with trizmq.serving(*SERVE, "--workers", "1") as server:
        until_said(server, "worker-ready")
        for _ in range(20):
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.005)
        until_said(server, "replaced all", 2)
        time.sleep(0.5)
        assert messages_of(server).count("SIGHUP: replacing") == 2
        assert end(server, within=8) == 0


def test_without_a_terminal_sighup_is_a_reload(trizmq: CommandLine) -> None:
    command = [sys.executable, "-m", "trizmq", "run", *SERVE, "--bind", "tcp://127.0.0.1:*"]
    with subprocess.Popen(
        command, cwd=trizmq.directory, stdout=subprocess.PIPE, start_new_session=True
    ) as server:
        assert server.stdout
        assert server.stdout.readline().startswith(b"trizmq ready")
        server.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert server.poll() is None
        server.terminate()
        assert server.wait(8) == 0


class OnTerminal:
    """A server that is started on its own terminal, as from a login shell."""

    def __init__(self, directory: object, *prefix: str) -> None:
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(str(directory))
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
            command = [sys.executable, "-m", "trizmq", "run", *SERVE]
            os.execvp([*prefix, *command][0], [*prefix, *command, "--bind", "tcp://127.0.0.1:*"])
        said = b""
        while b"trizmq ready on" not in said:
            said += os.read(self.terminal, 1000)

    def ended(self, seconds: float) -> int | None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None

    def stop(self) -> None:
        with suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def test_when_its_terminal_is_closed_the_server_drains(trizmq: CommandLine) -> None:
    server = OnTerminal(trizmq.directory)
    try:
        os.kill(server.pid, signal.SIGHUP)  # from another terminal: its own still exists
        assert server.ended(0.4) is None
        os.close(server.terminal)
        assert server.ended(8) == 0
    finally:
        server.stop()


def test_under_nohup_it_keeps_running_and_reloads(trizmq: CommandLine) -> None:
    output = trizmq.directory / "nohup.log"
    prefix = ["sh", "-c", f'nohup "$@" 2>{output} | tee {output}.out', "sh"]
    server = OnTerminal(trizmq.directory, *prefix)
    try:
        os.close(server.terminal)
        deadline = time.monotonic() + 5
        pids: list[int] = []
        while not pids and time.monotonic() < deadline:
            pids = [p for p in pids_of(f"{trizmq.directory}") if p != server.pid]
        (pid,) = pids
        time.sleep(0.3)
        assert not is_dead(pid)
        os.kill(pid, signal.SIGHUP)
        while "SIGHUP: no workers" not in output.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(pid, signal.SIGTERM)
        while not is_dead(pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        server.stop()


def pids_of(directory: str) -> list[int]:
    """Return the Python processes that run in ``directory``."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        with suppress(OSError):
            where, what = (os.readlink(f"/proc/{name}/{link}") for link in ("cwd", "exe"))  # noqa: PTH115
            if where == directory and "python" in what:
                found.append(int(name))
    return found
