"""`trizmq run`: broker and workers, in one process or in several, until a signal."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from ..processes.serve import serve
from .logs import log_to
from .options import (
    MOST_WORKERS,
    broker_options,
    endpoints,
    plugin_options,
    process_options,
    state_dir_option,
    worker_options,
)
from .serving import ReadyLine, stay
from .settings import config_option, named_file
from .worker import worker_command

__all__ = ["run"]


@click.command
@plugin_options
@broker_options
@click.option(
    "--backend",
    type=endpoints,
    metavar="E[,E]",
    envvar="TRIZMQ_BACKEND",
    help="Endpoints for workers of other processes too.  [default: none]",
)
@click.option(
    "--workers",
    type=click.IntRange(0, MOST_WORKERS),
    default=0,
    envvar="TRIZMQ_WORKERS",
    show_default=True,
    help="Worker processes to run; 0 is one process for all.",
)
@worker_options
@config_option
@state_dir_option
@process_options
@click.pass_context
def run(ctx: click.Context, /, log_level: str, workers: int, **serving: Any) -> None:
    """Serve plugins: the broker and its workers in one go.

    One line on stdout says that all is up, and where. SIGINT or SIGTERM drains: what runs
    is finished, then the exit code is 0. It is 2 for usage and settings, 1 for a fault.

    With --workers the handlers run in processes of their own, which are started again
    when they die or hang. SIGHUP replaces them one after another, with no call lost.
    """
    log_to(sys.stderr, level=log_level)
    if workers:
        command = worker_command({**serving, "log_level": log_level}, named_file(ctx))
        serving.update(workers=workers, worker_command=command)
    stay(ctx, partial(serve, **serving), ReadyLine(lambda bound: f"trizmq ready on {bound}"))
