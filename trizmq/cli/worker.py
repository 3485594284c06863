"""`trizmq worker`: the half that runs handlers, for brokers elsewhere, until a signal."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..processes.children import WORKER_NAME, WORKER_SECRET
from ..processes.watchdog import end_with_parent
from ..processes.work import work
from ..wire.mdp import MDP
from ..wire.native import NATIVE
from .logs import log_to
from .options import (
    BACKEND,
    endpoints,
    plugin_options,
    process_options,
    state_dir_option,
    worker_options,
)
from .serving import ReadyLine, stay
from .settings import config_option

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["worker", "worker_command"]

#: What a worker of ``run`` is told, if it is set; the rest of its options is written below.
PASSED_ON: Final = ("state_dir", "capacity", "threads", "grace", "log_level")


@click.command
@plugin_options
@click.option(
    "--connect",
    "--backend",
    "backend",  # the setting: `connect` is where clients go
    type=endpoints,
    metavar="E[,E]",
    default=BACKEND,
    envvar="TRIZMQ_BACKEND",
    show_default=True,
    help="Endpoints of brokers for workers: it works for all of them.",
)
@click.option(
    "--dialect",
    type=click.Choice([NATIVE, *MDP]),
    default=NATIVE,
    envvar="TRIZMQ_DIALECT",
    show_default=True,
    help="What the brokers speak. In all but native, capacity N appears as N workers.",
)
@worker_options
@config_option
@state_dir_option
@process_options
@click.pass_context
def worker(ctx: click.Context, /, log_level: str, backend: str, **working: Any) -> None:
    """Serve plugins to brokers of other processes.

    It may be started before the brokers, and outlives them. SIGINT or SIGTERM drains: the
    brokers send no more, what runs is finished, then the exit code is 0.
    """
    is_supervised = end_with_parent()
    name = os.environ.pop(WORKER_NAME, None)
    secret = os.environ.pop(WORKER_SECRET, None)
    log_to(sys.stderr, level=log_level, worker=name)
    start = partial(work, connect=backend, name=secret or name, **working)
    stay(ctx, start, ReadyLine(None if is_supervised else _ready))


def _ready(connect: str) -> str:
    return f"trizmq worker ready, connecting to {connect}"


def worker_command(options: Mapping[str, Any], config: Path | None) -> list[str]:
    """Return what starts a worker that serves what a ``run`` with ``options`` would.

    Where the brokers are is left to be added: ``--connect``.
    """
    command = [sys.executable, *_search_path(), "-m", "trizmq", "worker", "--dialect", NATIVE]
    for name in PASSED_ON:
        if options[name] is not None:
            command += [f"--{name.replace('_', '-')}", str(options[name])]
    for limit in (options.get("limits") or {}).items():
        command += ["--limit", "=".join(limit)]
    if config is not None:
        command += ["--config", str(config)]
    if options["plugins"] is not None:
        command += ["--plugins", ",".join(options["plugins"])]
    for module in options["modules"]:
        command += ["--module", module]
    return [*command, "--access-log" if options["access_log"] else "--no-access-log"]


def _search_path() -> list[str]:
    # `python -m` looks for modules where it is started, first of all; the console script
    # does not, and then nothing that lies there may hide what is installed from its workers.
    try:
        here = str(Path.cwd())
    except FileNotFoundError:  # it is gone
        here = ""
    return [] if sys.path[:1] in ([""], [here]) else ["-P"]
