"""`trizmq run`: broker and workers in one process, until a signal."""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any, final

import click
import trio

from ..errors import ConfigError, PluginError
from ..service.serve import serve
from .exits import Exit
from .logs import log_to
from .options import ENDPOINT, endpoints, plugin_options, state_dir_option
from .settings import config_option, plugin_tables

__all__ = ["run"]

logger = logging.getLogger("trizmq.cli")


@click.command
@plugin_options
@click.option(
    "--bind",
    type=endpoints,
    metavar="E[,E]",
    default=ENDPOINT,
    envvar="TRIZMQ_BIND",
    show_default=True,
    help="Endpoints for clients; port * takes a free one.",
)
@config_option
@state_dir_option
@click.option(
    "--capacity",
    type=click.IntRange(1),
    default=256,
    envvar="TRIZMQ_CAPACITY",
    show_default=True,
    help="Calls that are handled at once.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=40,
    envvar="TRIZMQ_THREADS",
    show_default=True,
    help="Of these, the ones in threads: handlers that are not async.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=20.0,
    envvar="TRIZMQ_GRACE",
    show_default=True,
    help="Seconds that running calls have to finish after a signal.",
)
@click.option(
    "--access-log/--no-access-log",
    envvar="TRIZMQ_ACCESS_LOG",
    help="Log each call: request id, route, status, duration.",
)
@click.option(
    "--insecure",
    is_flag=True,
    envvar="TRIZMQ_INSECURE",
    help="Allow endpoints that other machines reach, unencrypted.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    envvar="TRIZMQ_LOG_LEVEL",
    show_default=True,
    help="Least level that is logged, on stderr.",
)
@click.pass_context
def run(
    ctx: click.Context,
    /,
    log_level: str,
    **serving: Any,
) -> None:
    """Serve plugins: the broker and its workers in one process.

    One line on stdout says that all is up, and where. SIGINT or SIGTERM drains: what runs
    is finished, then the exit code is 0. It is 2 for usage and settings, 1 for a fault.
    """
    log_to(sys.stderr, level=log_level)
    start = partial(serve, config=plugin_tables(ctx), handle_signals=True, **serving)
    try:
        trio.run(partial(start, task_status=ReadyLine()))
    except (ConfigError, PluginError):
        raise  # the user's doing: one line, from the group
    except Exception:
        logger.critical("stopped by a fault", exc_info=True)
        ctx.exit(Exit.FAULT)


@final
class ReadyLine:
    """A task status that tells the user rather than a nursery.

    With `nursery.start` the errors of `serve` would come as groups, for no gain: there is
    nothing else to run.
    """

    def started(self, endpoint: str) -> None:
        """Print the ready line, all of it at once: a script may wait for it in a pipe."""
        click.echo(f"trizmq ready on {endpoint}")
