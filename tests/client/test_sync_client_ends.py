"""Whatever happens to its thread or its process, a SyncClient's call ends in time."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import trio

import trizmq
from trizmq.client import sync_client
from trizmq.client.connection import Connection
from trizmq.client.thread import ClientThread

UNREACHABLE = "tcp://127.0.0.1:9"


def test_a_thread_that_cannot_start_is_an_error(monkeypatch: Any) -> None:
    def start(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    client = trizmq.SyncClient(UNREACHABLE)
    for _ in range(2):
        with pytest.raises(trizmq.Unreachable, match="can't start new thread") as info, client:
            pass
        assert info.value.executed == "no"
    monkeypatch.undo()
    with client, pytest.raises(trizmq.Unreachable):
        client.get("/x", timeout=0.1)


def test_a_thread_that_hangs_at_its_start_delays_no_caller(monkeypatch: Any) -> None:
    let_go = threading.Event()
    run = ClientThread._run
    monkeypatch.setattr(ClientThread, "_run", lambda self: (let_go.wait(10), run(self)))
    monkeypatch.setattr(sync_client, "START_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(trizmq.Unreachable, match="does not start"), trizmq.SyncClient(UNREACHABLE):
        pass
    assert time.monotonic() - began < 1.5
    let_go.set()
    until = time.monotonic() + 5
    while any(one.name == "trizmq client" for one in threading.enumerate()):
        assert time.monotonic() < until  # it notices that it is not needed, and ends
        time.sleep(0.01)


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
            thread._thread.join(5)
        assert caplog.text.count("died") == 1

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)


async def test_a_thread_in_which_trio_dies_ends_calls_and_the_block(
    serving: Any, routes: Any
) -> None:
    def use(endpoint: str) -> None:
        with trizmq.SyncClient(endpoint) as client:
            assert client.post("/test/echo").status == 200
            thread = client._thread
            assert thread is not None
            run_soon = thread._run_soon
            assert run_soon is not None

            def tell(*_: Any) -> None:
                run_soon(sys.exit, "die")  # after that, no task reads, and all is closed
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))

            thread._run_soon = tell
            with pytest.raises(trizmq.Unreachable, match="its thread has died") as info:
                client.post("/test/echo")
            assert info.value.executed == "no"
        thread._thread.join(5)

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)


def let_trio_die() -> None:
    """Raise an exception in Trio's own code: its tasks are abandoned."""
    trio._core._run.GLOBAL_RUN_CONTEXT.runner.io_manager._epoll.close()


def raise_in(thread: threading.Thread) -> None:
    """Raise SystemExit in a thread, wherever it is: mostly in Trio's loop."""
    assert thread.ident is not None
    identity = ctypes.c_ulong(thread.ident)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(SystemExit))


@pytest.mark.skipif(sys.platform != "linux", reason="Trio has no epoll elsewhere")
@pytest.mark.parametrize("way", ["from inside", "from outside"])
async def test_a_new_thread_outlives_the_remains_of_dead_ones(
    serving: Any, routes: Any, way: str
) -> None:
    def use(endpoint: str) -> None:
        with trizmq.SyncClient(endpoint) as client:
            for _ in range(10):
                assert client.post("/test/echo").status == 200
                thread = client._thread
                assert thread is not None
                assert thread._run_soon is not None
                if way == "from inside":
                    thread._run_soon(let_trio_die)
                else:
                    raise_in(thread._thread)
                    with suppress(OSError, trio.RunFinishedError):  # unless it is already dead
                        thread._run_soon(str)  # to wake it
                thread._thread.join(5)
                assert thread.has_ended
                assert client.post("/test/echo").status == 200
                successor = client._thread
                assert successor is not None
                assert successor is not thread
                assert successor._run_soon is not None
                del thread
                successor._run_soon(gc.collect)
                for _ in range(3):
                    assert client.post("/test/echo").status == 200
                assert client._thread is successor

    async with serving(routes) as endpoint:
        await trio.to_thread.run_sync(use, endpoint)


async def test_a_call_to_a_thread_that_dies_before_it_reads_the_call_ends(monkeypatch: Any) -> None:
    async def die(self: Any) -> None:
        await trio.sleep(0.1)
        raise OSError("worn out")

    monkeypatch.setattr(Connection, "run", die)

    def use() -> None:
        with trizmq.SyncClient(UNREACHABLE) as client:
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(trizmq.Unreachable):
                    client.get("/x", timeout=2)
                assert time.monotonic() - began < 1

    await trio.to_thread.run_sync(use)


@pytest.mark.slow
async def test_a_thread_that_is_stuck_delays_no_caller(serving: Any, routes: Any) -> None:
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


class FewPipes:
    """Replaces os.pipe while descriptors are scarce: after some calls, it fails for some."""

    def __init__(self, monkeypatch: Any, *, good: int, bad: int) -> None:
        self.good, self.bad, self._pipe = good, bad, os.pipe
        monkeypatch.setattr("trizmq.transport.connections.os.pipe", self)

    def __call__(self) -> tuple[int, int]:
        if self.good:
            self.good -= 1
            return self._pipe()
        if self.bad:
            self.bad -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._pipe()


async def test_the_trio_client_reports_a_lack_of_descriptors(monkeypatch: Any) -> None:
    FewPipes(monkeypatch, good=3, bad=1)
    with pytest.raises(OSError, match="Too many open files"):
        async with trizmq.open_client(UNREACHABLE):
            pass


async def test_an_open_client_waits_for_descriptors(
    serving: Any, routes: Any, monkeypatch: Any, caplog: Any
) -> None:
    async with serving(routes) as endpoint:
        pipes = FewPipes(monkeypatch, good=8, bad=3)
        async with trizmq.open_client(endpoint) as client:
            with trio.fail_after(5):
                assert (await client.post("/test/echo")).status == 200
    assert (pipes.good, pipes.bad) == (0, 0)
    assert caplog.text.count("Too many open files") == 1  # logged once, and not at each attempt


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


async def test_a_lack_of_descriptors_is_an_error_and_no_hang(run_program: Any) -> None:
    said = (await run_program(DESCRIPTORS.format(spares=30))).split()
    assert said[0] == "Unreachable"
    assert said[-1] == "200"
    assert set(said) == {"Unreachable", "200"}


async def test_a_program_may_end_with_calls_in_flight(run_program: Any) -> None:
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
    assert await run_program(code) == "end\n"
    assert time.monotonic() - began < 10


async def test_ctrl_c_ends_the_wait_and_the_handler(run_program: Any) -> None:
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
    assert await run_program(code) == "interrupted\nTrue\n"


async def test_inside_trio_it_blocks_and_ends_in_time() -> None:
    began = time.monotonic()
    with trizmq.SyncClient(UNREACHABLE) as client, pytest.raises(trizmq.Unreachable):
        client.get("/x", timeout=0.3)
    assert time.monotonic() - began < 1.5


async def test_another_thread_may_leave_the_block(serving: Any, routes: Any) -> None:
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
