"""`trizmq run` and `trizmq broker`: processes with a broker, until a signal."""

from __future__ import annotations

import sys
from functools import partial

import click

from ..processes.serve import serve_broker, serve_with
from ..settings import DEFAULT_BACKEND
from .logs import log_to
from .options import Flag, chosen, flags
from .serving import ReadyLine, stay
from .toml import named_file
from .worker import worker_command

__all__ = ["broker", "run"]


@click.command
@flags("plugins", "modules", "bind", "wait", "insecure", "backend", "workers")
@flags("capacity", "threads", "access_log", "config", "state_dir", "limits", "grace", "log_level")
@click.pass_context
def run(ctx: click.Context, /) -> None:
    """Serve plugins, with a broker and its workers.

    When everything is up, one line on stdout shows the endpoints. At SIGINT or SIGTERM, running
    calls are finished, and the exit code is 0. It is 2 for invalid usage or settings, and 1 for
    an unexpected exception.

    With --workers, handlers run in worker processes, which are restarted when they die or hang.
    SIGHUP replaces them one after another, and no call is lost.
    """
    settings = chosen(ctx)
    log_to(sys.stderr, level=settings.log_level)
    command = worker_command(settings, named_file(ctx)) if settings.workers else []
    start = partial(serve_with, settings, worker_command=command)
    stay(ctx, start, ReadyLine(lambda bound: f"trizmq ready on {bound}"))


@click.command
@flags("plugins", "modules", "bind", "wait", "insecure")
@flags(Flag("backend", default=DEFAULT_BACKEND))
@flags("config", "state_dir", "limits", "grace", "log_level")
@click.pass_context
def broker(ctx: click.Context, /) -> None:
    """Connect clients to workers in other processes.

    Only the broker hooks of plugins are used; without --plugins, there are none. Signals and
    exit codes are those of `trizmq run`.
    """
    settings = chosen(ctx)
    log_to(sys.stderr, level=settings.log_level)
    words = "trizmq broker ready on {}, workers on {}"
    stay(ctx, partial(serve_broker, settings), ReadyLine(lambda bound: words.format(*bound)))
