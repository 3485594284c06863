"""`trizmq broker`: the half that stands between clients and workers, until a signal."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from ..processes.serve import serve_broker
from .logs import log_to
from .options import (
    BACKEND,
    broker_options,
    endpoints,
    plugin_options,
    process_options,
    state_dir_option,
)
from .serving import ReadyLine, stay
from .settings import config_option

__all__ = ["broker"]


@click.command
@plugin_options
@broker_options
@click.option(
    "--backend",
    type=endpoints,
    metavar="E[,E]",
    default=BACKEND,
    envvar="TRIZMQ_BACKEND",
    show_default=True,
    help="Endpoints for workers, of any dialect; the same as --bind for one socket for all.",
)
@config_option
@state_dir_option
@process_options
@click.pass_context
def broker(
    ctx: click.Context,
    /,
    log_level: str,
    backend: str,
    plugins: tuple[str, ...] | None,
    **serving: Any,
) -> None:
    """Stand between clients and workers of other processes.

    Of plugins, only the hooks that a broker asks are used; without --plugins there are
    none. Signals and exit codes are those of `trizmq run`.
    """
    log_to(sys.stderr, level=log_level)
    start = partial(serve_broker, backend=backend, plugins=plugins or (), **serving)
    stay(
        ctx,
        start,
        ReadyLine(lambda bound: "trizmq broker ready on {}, workers on {}".format(*bound)),
    )
