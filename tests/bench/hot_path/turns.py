"""How often Trio has a turn: counted, and told by a plugin of a server that is measured."""

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
    """Counts the tasks that Trio lets run, and its passes: each looks what else is ready."""

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
    """Say how many there have been."""
    return {"steps": turns.steps, "passes": turns.passes}


@hookimpl
def trizmq_register_routes() -> Router:
    return routes


@hookimpl
@asynccontextmanager
async def trizmq_lifespan() -> AsyncIterator[None]:
    trio.lowlevel.add_instrument(turns)
    yield
