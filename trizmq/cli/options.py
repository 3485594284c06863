"""Options that several commands share."""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from ..limits import limits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "BACKEND",
    "ENDPOINT",
    "MOST_WORKERS",
    "Seconds",
    "broker_options",
    "connect_option",
    "endpoints",
    "json_option",
    "limits_option",
    "plugin_options",
    "process_options",
    "state_dir_option",
    "timeout_option",
    "token_option",
    "words",
    "worker_options",
]

#: Where a broker is, unless somebody says otherwise: for clients, and for workers.
ENDPOINT: Final = "tcp://127.0.0.1:5555"
BACKEND: Final = "tcp://127.0.0.1:5556"

MAX_SECONDS: Final = 3600.0

#: More are a slip of the keyboard, which would take the machine's memory before it is noticed.
MOST_CALLS: Final = 65_536
MOST_WORKERS: Final = 1024

Command = TypeVar("Command", bound="Callable[..., Any]")


class Seconds(click.FloatRange):
    """A number of seconds: what is over an hour is an hour, as it is for a call's deadline."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; NaN, which is in no range and outside of none, is refused."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return min(seconds, MAX_SECONDS)


def words(value: str | Sequence[str]) -> tuple[str, ...]:
    """Read ``"a,b"``, or a list from the settings file; the empty text is no word at all."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(filter(None, map(str.strip, parts)))


def endpoints(value: str | Sequence[str]) -> str:
    """Read endpoints, and join them: the service takes them as one text.

    An empty one stays: the service says that there is a comma too many.
    """
    parts = value.split(",") if isinstance(value, str) else value
    return ",".join(map(str.strip, parts))


def plugin_options(command: Command) -> Command:
    """Add ``--plugins`` and ``--module``: what to load."""
    return _plugins(_modules(command))


def _modules_here(
    _ctx: object, _param: object, groups: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    modules = tuple(name for group in groups for name in group)
    # `python -m trizmq` looks where it is started; so does `trizmq`. Last of all, so that no
    # file that happens to be there hides an installed module.
    if modules:
        with suppress(FileNotFoundError):  # the current directory is gone
            if (here := str(Path.cwd())) not in sys.path:
                sys.path.append(here)
    return modules


_plugins = click.option(
    "--plugins",
    type=words,
    metavar="A[,B]",
    envvar="TRIZMQ_PLUGINS",
    help="Installed plugins to load, in this order.  [default: all]",
)

_modules = click.option(
    "-p",
    "--module",
    "modules",
    type=words,
    multiple=True,
    callback=_modules_here,
    metavar="MODULE",
    envvar="TRIZMQ_MODULES",
    help="A module to load as a plugin, by its import path; may be repeated.",
)

state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TRIZMQ_STATE_DIR",
    help="Where tokens and keys are kept.  [default: the user's state directory]",
)

connect_option = click.option(
    "--connect",
    type=endpoints,
    metavar="E[,E]",
    default=ENDPOINT,
    envvar="TRIZMQ_CONNECT",
    show_default=True,
    help="Endpoints of the broker.",
)

timeout_option = click.option(
    "--timeout",
    type=Seconds(0, min_open=True),
    default=30.0,
    envvar="TRIZMQ_TIMEOUT",
    show_default=True,
    help="Seconds until the call ends with exit code 124, or 3 if nobody was there.",
)

token_option = click.option(
    "--token",
    envvar="TRIZMQ_TOKEN",
    help="Who calls.  [default: the admin token in the state directory, on this machine]",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def broker_options(command: Command) -> Command:
    """Add what concerns who listens: ``--bind``, ``--wait``, ``--insecure``."""
    return _bind(_wait(_insecure(command)))


def worker_options(command: Command) -> Command:
    """Add what concerns who runs handlers: ``--capacity``, ``--threads``, ``--access-log``."""
    return _capacity(_threads(_access_log(command)))


def process_options(command: Command) -> Command:
    """Add what concerns every process that serves: ``--limit``, ``--grace``, ``--log-level``."""
    return limits_option(_grace(_log_level(command)))


def _limits(ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Put the limits together: flags over variables over the settings file, each by its name."""
    written = tuple((ctx.default_map or {}).get("limits", ()))
    values = dict(map(_assignment, written))
    values |= {
        name.removeprefix(LIMIT_VARIABLE).lower(): value
        for name, value in os.environ.items()
        if name.startswith(LIMIT_VARIABLE)
    }
    if ctx.get_parameter_source("limits") is not ParameterSource.DEFAULT_MAP:
        values |= dict(map(_assignment, given))
    limits_of(values)
    return values


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"wanted NAME=VALUE, got {text!r}")
    return name.strip().replace("-", "_"), value.strip()


#: How the variable of each limit begins: ``TRIZMQ_LIMITS_BODY_BYTES``.
LIMIT_VARIABLE: Final = "TRIZMQ_LIMITS_"

limits_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    callback=_limits,
    metavar="NAME=VALUE",
    envvar="TRIZMQ_LIMITS",
    help="A limit, as in [limits] of the settings file; may be repeated: body_bytes=32MiB,"
    " client_calls (in flight, of one client), service_calls (queued, of one service),"
    " heartbeat, liveness, mdp_silence (seconds), ...",
)


_bind = click.option(
    "--bind",
    type=endpoints,
    metavar="E[,E]",
    default=ENDPOINT,
    envvar="TRIZMQ_BIND",
    show_default=True,
    help="Endpoints for clients; port * takes a free one.",
)

_wait = click.option(
    "--wait",
    type=Seconds(0),
    default=1.0,
    envvar="TRIZMQ_WAIT",
    show_default=True,
    help="Seconds that a call waits for a service that nobody has offered yet.",
)

_insecure = click.option(
    "--insecure",
    is_flag=True,
    envvar="TRIZMQ_INSECURE",
    help="Allow endpoints that other machines reach, unencrypted.",
)

_capacity = click.option(
    "--capacity",
    type=click.IntRange(1, MOST_CALLS),
    default=256,
    envvar="TRIZMQ_CAPACITY",
    show_default=True,
    help="Calls that one process handles at once.",
)

_threads = click.option(
    "--threads",
    type=click.IntRange(1, MOST_CALLS),
    default=40,
    envvar="TRIZMQ_THREADS",
    show_default=True,
    help="Of these, the ones in threads: handlers that are not async.",
)

_access_log = click.option(
    "--access-log/--no-access-log",
    envvar="TRIZMQ_ACCESS_LOG",
    help="Log each call: request id, route, status, duration.",
)

_grace = click.option(
    "--grace",
    type=Seconds(0),
    default=20.0,
    envvar="TRIZMQ_GRACE",
    show_default=True,
    help="Seconds that running calls have to finish after a signal.",
)

_log_level = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    envvar="TRIZMQ_LOG_LEVEL",
    show_default=True,
    help="Least level that is logged, on stderr.",
)
