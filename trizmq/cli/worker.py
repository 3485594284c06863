"""`trizmq worker`: a process that runs handlers for brokers elsewhere, until a signal."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Final

import click

from ..processes.children import WORKER_NAME, WORKER_SECRET
from ..processes.watchdog import end_with_parent
from ..processes.work import work_with
from ..settings import DEFAULT_BACKEND, SETTINGS, Settings
from .logs import log_to
from .options import Flag, chosen, flags
from .serving import ReadyLine, stay

__all__ = ["worker", "worker_command"]

#: The settings that `run` passes on to its workers.
PASSED_ON: Final = (
    "state_dir",
    "capacity",
    "threads",
    "grace",
    "log_level",
    "plugins",
    "modules",
    "access_log",
    "limits",
)


@click.command
@flags("plugins", "modules")
@flags(
    Flag(
        "backend",  # the setting: `connect` is where clients go
        default=DEFAULT_BACKEND,
        declarations=("--connect", "--backend"),
        help="Endpoints of brokers, for workers. It works for all of them.",
    ),
    "dialect",
)
@flags("capacity", "threads", "access_log", "config", "state_dir", "limits", "grace", "log_level")
@click.pass_context
def worker(ctx: click.Context, /) -> None:
    """Serve plugins for brokers in other processes.

    It can be started before the brokers, and keeps running without them. At SIGINT or SIGTERM,
    the brokers send no more calls, running calls are finished, and the exit code is 0.
    """
    settings = chosen(ctx)
    is_supervised = end_with_parent()
    name = os.environ.pop(WORKER_NAME, None)
    secret = os.environ.pop(WORKER_SECRET, None)
    log_to(sys.stderr, level=settings.log_level, worker=name)
    start = partial(work_with, settings, name=secret or name)
    stay(ctx, start, ReadyLine(None if is_supervised else _ready))


def _ready(connect: str) -> str:
    return f"trizmq worker ready, connecting to {connect}"


def worker_command(settings: Settings, config: Path | None) -> list[str]:
    """Return the command of a worker that serves the plugins of a ``run`` with ``settings``.

    The endpoint of the broker must be added, with ``--connect``.
    """
    command = [sys.executable, *_search_path(), "-m", "trizmq", "worker", "--dialect", "native"]
    if config is not None:
        command += ["--config", str(config)]
    for name in PASSED_ON:
        command += SETTINGS[name].argv(getattr(settings, name))
    return command


def _search_path() -> list[str]:
    # `python -m` looks for modules in the current directory first. The console script does not,
    # and then no file there may hide an installed module from its workers.
    try:
        here = str(Path.cwd())
    except FileNotFoundError:  # it is gone
        here = ""
    return [] if sys.path[:1] in ([""], [here]) else ["-P"]
