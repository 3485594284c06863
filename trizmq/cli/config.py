"""`trizmq config`: shows the settings, and checks a settings file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from ..app.application import App
from ..app.plugins import load
from ..errors import ConfigError, PluginError
from ..limits import LIMITS
from ..settings import SETTINGS
from .options import chosen, find_here, flags, json_option, origins
from .output import Exit, table
from .toml import DEFAULT_FILE, SettingsFile, file_of, plugin_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..settings import Settings

__all__ = ["config"]


@click.group
def config() -> None:
    """Show the settings, or check a settings file."""


@config.command
@flags(*SETTINGS, "config")
@json_option
@click.pass_context
def show(ctx: click.Context, /, as_json: bool) -> None:
    """Print each setting, and the flag, variable or file that sets it.

    All flags of settings can be given. Tokens and the values in tables of plugins are not
    printed.
    """
    found = origins(ctx)
    rows = [
        {"setting": name, "value": value, "from": found[name]}
        for name, value in _values(chosen(ctx))
    ]
    for plugin, keys in plugin_tables(ctx).items():
        name = f"plugin.{plugin}"
        rows.append({"setting": name, "value": list(keys), "from": f"file {file_of(ctx)}"})
    if as_json:
        click.echo(orjson.dumps(rows))
    else:
        shown = [{**row, "value": _text(str(row["setting"]), row["value"])} for row in rows]
        click.echo(table(("setting", "value", "from"), shown))


def _text(name: str, value: Any) -> Any:
    """Write a value for people: as in the file, or the meaning of None."""
    if value is None:
        return f"({SETTINGS[name].extra['unset']})"
    return str(value).lower() if isinstance(value, bool) else value


def _values(settings: Settings) -> Iterator[tuple[str, Any]]:
    for name, field in SETTINGS.items():
        value = getattr(settings, name)
        if "is_secret" in field.extra and value is not None:
            yield name, "(set)"
        elif isinstance(value, tuple):
            yield name, list(value)
        elif name != "limits":
            yield name, str(value) if isinstance(value, Path) else value
    for name in LIMITS:
        yield f"limits.{name}", getattr(settings.bounds, name)


@config.command
@click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_FILE)
@click.pass_context
def check(ctx: click.Context, /, file: Path) -> None:
    """Check a settings FILE, by default ./trizmq.toml.

    Each mistake is one line on stderr, with the file and the key, and the exit code is 2. If there
    are tables of plugins, the plugins are loaded, and check them.
    """
    found = SettingsFile(file)
    mistakes = found.mistakes or _mistakes_in_tables(file, found.values)
    for mistake in mistakes:
        click.echo(f"trizmq: {mistake}", err=True)
    ctx.exit(Exit.USAGE if mistakes else Exit.OK)


def _mistakes_in_tables(file: Path, values: Mapping[str, Any]) -> list[str]:
    modules = find_here(values.get("modules", ()))
    try:
        if values["plugin"]:
            App(load(values.get("plugins"), modules), config=values["plugin"])
    except (ConfigError, PluginError) as error:
        return [f"{file}: {error}"]
    return []
