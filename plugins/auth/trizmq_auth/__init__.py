"""Tokens for trizmq: they identify callers and control their access.

With this plugin, every route of every plugin needs a token, unless it is declared with
``public=True``. A route with ``scopes=(...)`` needs a token with all of these scopes. The broker
verifies tokens, so calls without authentication never reach a worker.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from trizmq import Principal, Router, hookimpl

from .commands import token
from .gate import trizmq_admit, trizmq_precondition, verifier_of
from .verifier import Verifier  # noqa: TC001 (trizmq reads the type that the lifespan yields)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import click

__all__ = ["trizmq_admit", "trizmq_precondition"]  # these are used as hooks directly

routes = Router("/auth")


@routes.get("/whoami")
async def whoami(principal: Principal) -> dict[str, Any]:
    """Return the principal and the scopes of the token."""
    return {"principal": principal.name, "scopes": sorted(principal.scopes)}


@hookimpl
def trizmq_register_routes() -> Router:
    return routes


@hookimpl
@asynccontextmanager
async def trizmq_lifespan(state_dir: Path) -> AsyncIterator[Verifier]:
    yield verifier_of(state_dir)


@hookimpl
def trizmq_register_commands(cli: click.Group) -> None:
    cli.add_command(token)
