"""Whatever happens to its thread or its process, a SyncClient's call ends in time."""

from __future__ import annotations

import errno
import math
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import trio

import trizmq
from trizmq.service.connection import Connection

NOBODY = "tcp://127.0.0.1:9"


def run(code: str, endpoint: str, *, seconds: float = 20) -> str:
    """Run a program; return what it printed. It fails if it hangs, or ends with an error."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, endpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


async def run_beside(serving: Any, routes: Any, code: str) -> str:
    async with serving(routes) as endpoint:
        return await trio.to_thread.run_sync(run, code, endpoint)


FORK = """
import os, sys, trizmq

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # at once, whole

with trizmq.SyncClient(sys.argv[1]) as client:
    call = lambda: client.post("/test/echo", timeout=5).status
    say("parent", call())
    {before}
    children = []
    for n in range(3):
        pid = os.fork()
        if not pid:
            say("child", call(), call())
            {end}
        children.append(pid)
    say("parent", call())
    for pid in children:
        say("ended", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    say("parent", call())
    {after}
"""


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)"])
async def test_after_a_fork_child_and_parent_go_on(serving: Any, routes: Any, end: str) -> None:
    said = await run_beside(serving, routes, FORK.format(before="", end=end, after=""))
    assert sorted(said.split("\n")) == sorted(
        ["", *["parent 200"] * 3, *["child 200 200"] * 3, *["ended 0"] * 3]
    )


async def test_a_fork_in_the_middle_of_other_threads_calls(serving: Any, routes: Any) -> None:
    before = (
        "import threading; calls = [threading.Thread(target=lambda: [call() for _ in range(100)])"
        " for _ in range(8)]; [one.start() for one in calls]"
    )
    after = "[one.join() for one in calls]"
    code = FORK.format(before=before, end="os._exit(0)", after=after)
    said = await run_beside(serving, routes, code)
    assert said.count("child 200 200") == 3


async def test_workers_of_a_prefork_server(serving: Any, routes: Any) -> None:
    """As gunicorn --preload: the client is opened by the master, and the workers use it."""
    said = await run_beside(
        serving,
        routes,
        """
import multiprocessing, sys, trizmq
client = trizmq.SyncClient(sys.argv[1]).__enter__()
def work(n):
    return client.post("/test/json", json=n, timeout=5).json()
client.post("/test/echo")
with multiprocessing.get_context("fork").Pool(3) as pool:
    print(sum(pool.map(work, range(200), chunksize=5)))
print(work(7))
""",
    )
    assert said.split() == ["19900", "7"]


async def test_a_child_may_leave_the_block(serving: Any, routes: Any) -> None:
    said = await run_beside(
        serving,
        routes,
        """
import os, sys, trizmq
with trizmq.SyncClient(sys.argv[1]) as client:
    client.post("/test/echo")
    pid = os.fork()
if pid:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
else:
    try:
        client.post("/test/echo")
    except RuntimeError as error:
        print(error, flush=True)
""",
    )
    assert said == "use this client inside its with block\n0\n"


def test_a_thread_that_cannot_start_is_said(monkeypatch: Any) -> None:
    def start(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    client = trizmq.SyncClient(NOBODY)
    for _ in range(2):
        with pytest.raises(trizmq.Unreachable, match="can't start new thread") as info, client:
            pass
        assert info.value.executed == "no"
    monkeypatch.undo()
    with client, pytest.raises(trizmq.Unreachable):
        client.get("/x", timeout=0.1)


async def test_a_thread_that_dies_ends_its_calls_and_is_replaced(
    serving: Any, routes: Any, caplog: Any
) -> None:
    def use(endpoint: str) -> None:
        with trizmq.SyncClient(endpoint) as client, ThreadPoolExecutor(8) as pool:
            assert client.post("/test/echo").status == 200
            waiting = [pool.submit(client.post, "/test/sleep") for _ in range(8)]
            assert client.post("/test/echo").status == 200
            thread = client._thread
            assert thread is not None
            assert thread._run_soon is not None
            thread._run_soon(sys.exit, "die")
            for one in waiting:
                with pytest.raises(trizmq.Unreachable) as info:
                    one.result(3)
                assert info.value.executed == "maybe"
            while not thread.has_ended:
                time.sleep(0.01)
            assert client.post("/test/echo").status == 200
        assert caplog.text.count("died") == 1

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)


async def test_a_thread_that_dies_before_it_looks_at_a_call(monkeypatch: Any) -> None:
    async def die(self: Any) -> None:
        await trio.sleep(0.1)
        raise OSError("worn out")

    monkeypatch.setattr(Connection, "run", die)

    def use() -> None:
        with trizmq.SyncClient(NOBODY) as client:
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(trizmq.Unreachable):
                    client.get("/x", timeout=2)
                assert time.monotonic() - began < 1

    await trio.to_thread.run_sync(use)


@pytest.mark.slow
async def test_a_thread_that_is_stuck_holds_no_caller(serving: Any, routes: Any) -> None:
    def use(endpoint: str) -> None:
        with trizmq.SyncClient(endpoint) as client:
            client.post("/test/echo")
            thread = client._thread
            assert thread is not None
            assert thread._run_soon is not None
            let_go = threading.Event()
            thread._run_soon(let_go.wait, 10)
            began = time.monotonic()
            with pytest.raises(trizmq.DeadlineExceeded, match="stuck") as info:
                client.post("/test/echo", timeout=0.2)
            assert info.value.executed == "no"
            assert time.monotonic() - began < 2
            let_go.set()
            assert client.post("/test/echo").status == 200

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)


async def test_the_trio_client_says_so_as_well(monkeypatch: Any) -> None:
    def pipe() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("trizmq.transport.descriptors.os.pipe", pipe)
    with pytest.raises(OSError, match="Too many open files"):
        async with trizmq.open_client(NOBODY):
            pass


DESCRIPTORS = """
import os, resource, sys, time, trizmq
client = trizmq.SyncClient(sys.argv[1])
with client:
    assert client.post("/test/echo").status == 200
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for spare in range({spares}):
    began = time.monotonic()
    try:
        with client:
            print(client.post("/test/echo", timeout=2).status)
    except trizmq.CallError as error:
        print(type(error).__name__)
    assert time.monotonic() - began < 4
    os.close(held.pop())
[os.close(one) for one in held]
with client:
    print(client.post("/test/echo", timeout=5).status)
"""


async def test_used_up_descriptors_are_an_error_and_no_hang(serving: Any, routes: Any) -> None:
    said = (await run_beside(serving, routes, DESCRIPTORS.format(spares=30))).split()
    assert said[0] == "Unreachable"
    assert said[-1] == "200"
    assert set(said) == {"Unreachable", "200"}


@pytest.mark.parametrize(
    ("module", "question"),
    [("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched")],
)
def test_so_are_those_of_libraries_that_are_not_here(
    monkeypatch: Any, module: str, question: str
) -> None:
    stand_in = SimpleNamespace(**{question: lambda part: part == "select"})
    monkeypatch.setitem(sys.modules, module, stand_in)
    with pytest.raises(RuntimeError, match="real threads"), trizmq.SyncClient(NOBODY):
        pass


@pytest.mark.parametrize("order", ["patch first", "import first"])
def test_green_threads_are_refused_at_once(order: str) -> None:
    pytest.importorskip("gevent")
    lines = ["import trizmq; trizmq.SyncClient", "from gevent import monkey; monkey.patch_all()"]
    if order == "patch first":
        lines.reverse()
    code = "\n".join(
        [
            "import sys",
            *lines,
            "import trizmq",
            "try:",
            "    with trizmq.SyncClient(sys.argv[1]) as client: client.get('/x', timeout=2)",
            "except RuntimeError as error: print(error)",
        ]
    )
    said = run(code, NOBODY, seconds=10)
    assert "SyncClient needs real threads, and gevent has replaced them" in said


async def test_gevent_without_its_threads_is_fine(serving: Any, routes: Any) -> None:
    pytest.importorskip("gevent")
    code = """
import sys
from gevent import monkey; monkey.patch_all(thread=False, select=False)
import trizmq
with trizmq.SyncClient(sys.argv[1]) as client:
    print(client.post("/test/echo", timeout=5).status)
"""
    assert await run_beside(serving, routes, code) == "200\n"


async def test_the_program_may_end_with_calls_in_flight(serving: Any, routes: Any) -> None:
    code = """
import sys, threading, time, trizmq
client = trizmq.SyncClient(sys.argv[1]).__enter__()
client.post("/test/echo")
for _ in range(4):
    call = lambda: client.post("/test/sleep", timeout=30)
    threading.Thread(target=call, daemon=True).start()
client.post("/test/echo")
print("end")
"""
    began = time.monotonic()
    assert await run_beside(serving, routes, code) == "end\n"
    assert time.monotonic() - began < 10


async def test_ctrl_c_ends_the_wait_and_the_handler(serving: Any, routes: Any) -> None:
    code = """
import os, signal, sys, threading, trizmq
with trizmq.SyncClient(sys.argv[1]) as client:
    client.post("/test/echo")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        client.post("/test/sleep", timeout=30)
    except KeyboardInterrupt:
        print("interrupted")
    print(client.post("/test/cancelled", timeout=5).json())
"""
    assert await run_beside(serving, routes, code) == "interrupted\nTrue\n"


@pytest.mark.parametrize("bad", [0, -1, -math.inf, math.nan, 0.0])
def test_a_timeout_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        trizmq.SyncClient(timeout=bad)
    with trizmq.SyncClient(NOBODY) as client, pytest.raises(ValueError, match="more than 0"):
        client.get("/x", timeout=bad)


@pytest.mark.parametrize("bad", ["5", b"5", [5], 1j, True, object()])
def test_a_timeout_that_is_no_number_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match="number of seconds"):
        trizmq.SyncClient(timeout=bad)
    with trizmq.SyncClient(NOBODY) as client, pytest.raises(TypeError, match="number of seconds"):
        client.get("/x", timeout=bad)


@pytest.mark.parametrize("long", [None, math.inf, 1e300, 10**400, 3601])
async def test_a_long_timeout_is_an_hour(serving: Any, routes: Any, long: Any) -> None:
    def use(endpoint: str) -> None:
        with trizmq.SyncClient(endpoint, timeout=long) as client:
            for details in ({}, {"timeout": long}):
                left = client.post("/test/left", **details).json()
                assert 3590 < left <= 3600.1

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)


async def test_a_number_of_any_kind_is_a_timeout(serving: Any, routes: Any) -> None:
    numpy = pytest.importorskip("numpy")
    from fractions import Fraction

    def use(endpoint: str) -> None:
        with trizmq.SyncClient(endpoint) as client:
            numbers: list[Any] = [5, 5.0, Fraction(5), numpy.float32(5), numpy.int64(5)]
            for timeout in numbers:
                left = client.post("/test/left", timeout=timeout).json()
                assert 4 < left <= 5.1

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)


async def test_inside_trio_it_blocks_and_ends_in_time() -> None:
    began = time.monotonic()
    with trizmq.SyncClient(NOBODY) as client, pytest.raises(trizmq.Unreachable):
        client.get("/x", timeout=0.3)
    assert time.monotonic() - began < 1.5


async def test_the_block_may_be_left_by_another_thread(serving: Any, routes: Any) -> None:
    def use(endpoint: str) -> None:
        with ThreadPoolExecutor(2) as pool:
            client = trizmq.SyncClient(endpoint).__enter__()
            left = pool.submit(client.post, "/test/sleep")
            client.post("/test/echo")
            pool.submit(client.__exit__, None, None, None).result(3)
            with pytest.raises(trizmq.Unreachable):
                left.result(2)
            assert not any(one.name == "trizmq client" for one in threading.enumerate())

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)
