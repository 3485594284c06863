"""A process that serves until a signal: its ready line, its watchdog, its exit code."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, final

import click
import trio

from ..beside import running
from ..errors import ConfigError, PluginError
from ..processes.allocator import keep_freed_memory
from ..processes.children import StartFailed
from ..processes.signals import arm, end_within, left_behind
from ..processes.watchdog import Watchdog
from .output import Exit, silence_if_closed
from .toml import plugin_tables

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["ReadyLine", "stay"]

logger = logging.getLogger("trizmq.cli")

#: Seconds that Python may take to exit: it waits for threads that are not daemons, for executors
#: and for child processes, and handlers may have left some of them.
EXIT_SECONDS: Final = 2.0


def stay(ctx: click.Context, start: Callable[..., Awaitable[None]], ready: ReadyLine) -> None:
    """Run ``start`` until a signal ends it; another exception is logged, with exit code 1.

    Raises:
      ConfigError, PluginError: for a mistake of the user: one line and exit code 2.

    """
    tables = plugin_tables(ctx)
    keep_freed_memory()
    silence_if_closed()
    arm()
    code = Exit.FAULT
    try:
        trio.run(_watched, partial(start, config=tables, handle_signals=True, task_status=ready))
        code = Exit.OK
    except (ConfigError, PluginError):
        code = Exit.USAGE
        raise
    except StartFailed as error:
        logger.critical("%s", error)
    except Exception:
        logger.critical("stopped by a fault", exc_info=True)
    finally:
        if left := left_behind():
            logger.warning("left behind by handlers or plugins: %s", ", ".join(left))
        end_within(EXIT_SECONDS, code)
    ctx.exit(code)


async def _watched(start: Callable[[], Awaitable[None]]) -> None:
    async with running(Watchdog().run):
        await start()


@final
class ReadyLine:
    """A task status that prints a line for the user.

    With `nursery.start`, the errors of `serve` would be in groups, without a benefit: nothing
    else runs.

    Args:
      words: returns the line for the value of ``started``; None to print nothing.

    """

    def __init__(self, words: Callable[[Any], str] | None) -> None:
        self._words = words

    def started(self, value: Any = None) -> None:
        """Print the ready line at once: a script may wait for it in a pipe."""
        if self._words is None:
            return
        try:
            click.echo(self._words(value))
        except OSError as error:
            logger.warning("the ready line cannot be written: %s", error.strerror)
