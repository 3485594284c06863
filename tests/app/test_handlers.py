"""`def` handlers run in threads: a limited number, each in its own context."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable

import trio

from trizmq import Response

Call = Callable[..., Awaitable[Response]]
Handled = Callable[..., Call]


def thread_id() -> int:
    return threading.get_ident()


async def test_def_runs_in_a_thread_inline_does_not(handled: Handled) -> None:
    here = threading.get_ident()
    assert (await handled(thread_id)("GET", "/t")).json() != here
    assert (await handled(thread_id, inline=True)("GET", "/t")).json() == here


async def test_context_set_in_a_thread_does_not_leak(handled: Handled) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    def handler() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    call = handled(handler)
    assert [(await call("GET", "/t")).json() for _ in range(2)] == [1, 1]
    assert variable.get() == 0


async def test_no_more_threads_than_the_limit(handled: Handled) -> None:
    most, running, lock = 0, 0, threading.Lock()
    meet = threading.Barrier(2)

    def handler() -> None:
        nonlocal most, running
        with lock:
            running += 1
            most = max(most, running)
        meet.wait(5)
        with lock:
            running -= 1

    call = handled(handler, thread_limit=2)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(call, "GET", "/t")
    assert most == 2


async def test_a_thread_is_abandoned_and_can_ask(handled: Handled) -> None:
    started, told = threading.Event(), threading.Event()

    def handler() -> None:
        started.set()
        try:
            while True:
                trio.from_thread.check_cancelled()
        finally:
            told.set()

    call = handled(handler)
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, "GET", "/t")
            await trio.to_thread.run_sync(started.wait, 5)
            nursery.cancel_scope.cancel()
    assert await trio.to_thread.run_sync(told.wait, 5)
