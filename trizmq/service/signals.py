"""Signals of a process that serves: drain, end now, replace the workers."""

from __future__ import annotations

import logging
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

__all__ = ["obey", "receiving"]

LOGGER = logging.getLogger("trizmq.service")


@contextmanager
def receiving(*, wanted: bool) -> Iterator[AsyncIterator[int] | None]:
    """Catch SIGINT, SIGTERM and SIGHUP, if ``wanted``; only in the main thread."""
    if not wanted:
        yield None
        return
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        yield signals


async def obey(
    signals: AsyncIterator[int],
    drain: Callable[[], Awaitable[None]],
    reload: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Return when the process is to end.

    SIGINT or SIGTERM: ``drain``, then return; a second one: return at once. SIGHUP:
    ``reload``, as often as it comes.
    """
    async with trio.open_nursery() as nursery:

        async def drain_and_end() -> None:
            await drain()
            LOGGER.info("drained")
            nursery.cancel_scope.cancel()

        is_draining = False
        async for number in signals:
            name = signal.Signals(number).name
            if number == signal.SIGHUP:
                LOGGER.info("%s: %s", name, "replacing the workers" if reload else "no workers")
                if reload is not None and not is_draining:
                    nursery.start_soon(reload)
            elif is_draining:
                LOGGER.warning("%s again: ending now", name)
                nursery.cancel_scope.cancel()
                return
            else:
                LOGGER.info("%s: draining", name)
                is_draining = True
                nursery.start_soon(drain_and_end)
