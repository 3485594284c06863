"""Options that several commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "ENDPOINT",
    "connect_option",
    "endpoints",
    "json_option",
    "plugin_options",
    "state_dir_option",
    "timeout_option",
    "token_option",
    "words",
]

#: Where a broker is, unless somebody says otherwise.
ENDPOINT: Final = "tcp://127.0.0.1:5555"

Command = TypeVar("Command", bound="Callable[..., Any]")


def words(value: str | Sequence[str]) -> tuple[str, ...]:
    """Read ``"a,b"``, or a list from the settings file; the empty text is no word at all."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(filter(None, map(str.strip, parts)))


def endpoints(value: str | Sequence[str]) -> str:
    """Read endpoints likewise, and join them: the service takes them as one text."""
    return ",".join(words(value))


def plugin_options(command: Command) -> Command:
    """Add ``--plugins`` and ``--module``: what to load."""
    return _plugins(_modules(command))


def _modules_here(
    _ctx: object, _param: object, groups: tuple[tuple[str, ...], ...]
) -> tuple[str, ...]:
    modules = tuple(name for group in groups for name in group)
    # `python -m trizmq` looks where it is started; so does `trizmq`. Last of all, so that no
    # file that happens to be there hides an installed module.
    here = str(Path.cwd())
    if modules and here not in sys.path:
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
    type=click.FloatRange(0, min_open=True),
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
