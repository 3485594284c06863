"""Counters for Trio's scheduler, and a plugin with which a measured server reports them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, final

import trio

from trizmq import Router, hookimpl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Turns", "trizmq_lifespan", "trizmq_register_routes"]


@final
class Turns(trio.abc.Instrument):
    """Counts the tasks that Trio runs, and its passes, each of which looks for ready tasks."""

    def __init__(self) -> None:
        self.steps = self.passes = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1

    def before_io_wait(self, timeout: float) -> None:
        self.passes += 1


routes = Router("/turns")
turns = Turns()


@routes.get("", public=True)
async def get_turns() -> dict[str, int]:
    """Return the counters so far."""
    return {"steps": turns.steps, "passes": turns.passes}


@hookimpl
def trizmq_register_routes() -> Router:
    return routes


@hookimpl
@asynccontextmanager
async def trizmq_lifespan() -> AsyncIterator[None]:
    trio.lowlevel.add_instrument(turns)
    yield
