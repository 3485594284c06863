"""Tokens for trizmq: who calls, and what they may do.

With this plugin every route of every plugin needs a token, unless it says
``public=True``; a route with ``scopes=(...)`` needs one that was granted them all. The
broker verifies the token: what is not authenticated never reaches a worker.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from trizmq import Principal, Router, hookimpl

from .commands import token
from .gate import tokens_of, trizmq_admit, trizmq_precondition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import click

__all__ = ["trizmq_admit", "trizmq_precondition"]  # the gate's are hooks as they are

routes = Router("/auth")


@routes.get("/whoami")
async def whoami(principal: Principal) -> dict[str, Any]:
    """Say who the token stands for, and what it may do."""
    return {"principal": principal.name, "scopes": sorted(principal.scopes)}


@hookimpl
def trizmq_register_routes() -> Router:
    return routes


@hookimpl
@asynccontextmanager
async def trizmq_lifespan(state_dir: Path) -> AsyncIterator[None]:
    with tokens_of(state_dir):
        yield


@hookimpl
def trizmq_register_commands(cli: click.Group) -> None:
    cli.add_command(token)
