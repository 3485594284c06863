"""A SyncClient in a forked child, and under the threads of gevent and eventlet."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

import trizmq

UNREACHABLE = "tcp://127.0.0.1:9"


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
async def test_child_and_parent_continue_after_a_fork(run_program: Any, end: str) -> None:
    said = await run_program(FORK.format(before="", end=end, after=""))
    assert sorted(said.split("\n")) == sorted(
        ["", *["parent 200"] * 3, *["child 200 200"] * 3, *["ended 0"] * 3]
    )


async def test_a_fork_during_the_calls_of_other_threads(run_program: Any) -> None:
    before = (
        "import threading; calls = [threading.Thread(target=lambda: [call() for _ in range(100)])"
        " for _ in range(8)]; [one.start() for one in calls]"
    )
    after = "[one.join() for one in calls]"
    code = FORK.format(before=before, end="os._exit(0)", after=after)
    said = await run_program(code)
    assert said.count("child 200 200") == 3


async def test_workers_of_a_prefork_server(run_program: Any) -> None:
    """Like gunicorn --preload: the master opens the client, and the workers use it."""
    said = await run_program(
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


async def test_a_child_may_leave_the_block(run_program: Any) -> None:
    said = await run_program(
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


@pytest.mark.parametrize(
    ("module", "question"),
    [("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched")],
)
def test_other_libraries_with_green_threads_are_refused(
    monkeypatch: Any, module: str, question: str
) -> None:
    stand_in = SimpleNamespace(**{question: lambda part: part == "select"})
    monkeypatch.setitem(sys.modules, module, stand_in)
    with pytest.raises(RuntimeError, match="real threads"), trizmq.SyncClient(UNREACHABLE):
        pass


@pytest.mark.parametrize("order", ["patch first", "import first"])
async def test_green_threads_are_refused_immediately(run_program: Any, order: str) -> None:
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
    said = await run_program(code, UNREACHABLE)
    assert "SyncClient needs real threads, and gevent has replaced them" in said


@pytest.mark.parametrize("fork", ["os.fork()", "0"])
async def test_green_threads_that_appear_later_are_refused(run_program: Any, fork: str) -> None:
    """Like gunicorn's gevent workers: the master has opened the client."""
    pytest.importorskip("gevent")
    code = """
import os, sys, trizmq
client = trizmq.SyncClient(sys.argv[1]).__enter__()
client.post("/test/echo")
if {fork}:
    os.wait()
else:
    from gevent import monkey; monkey.patch_all()
    try:
        client.post("/test/echo", timeout=2)
    except RuntimeError as error:
        print(error, flush=True)
os._exit(0)
"""
    said = await run_program(code.format(fork=fork))
    assert "gevent has replaced them" in said


async def test_gevent_without_green_threads_works(run_program: Any) -> None:
    pytest.importorskip("gevent")
    code = """
import sys
from gevent import monkey; monkey.patch_all(thread=False, select=False)
import trizmq
with trizmq.SyncClient(sys.argv[1]) as client:
    print(client.post("/test/echo", timeout=5).status)
"""
    assert await run_program(code) == "200\n"
