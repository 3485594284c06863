"""`trizmq routes` and `trizmq plugins`: lists of routes and of installed plugins."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from ..app.application import App
from ..app.plugins import Broken, installed, load
from .options import chosen, flags, json_option
from .output import table
from .toml import plugin_tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..app.plugins import Plugin
    from ..app.router import Route

__all__ = ["plugins", "routes"]

#: The columns of each listing: keys of the same listing's JSON.
ROUTE: Final = ("methods", "pattern", "plugin", "public", "scopes", "summary")
PLUGIN: Final = ("name", "version", "distribution", "status", "reason")


@click.command
@flags("plugins", "modules", "config")
@json_option
@click.pass_context
def routes(ctx: click.Context, /, as_json: bool) -> None:
    """List the routes that would be served."""
    settings = chosen(ctx)
    app = App(load(settings.plugins, settings.modules), config=plugin_tables(ctx))
    _show(ROUTE, [_describe(route) for route in app.routes], as_json=as_json)


def _describe(route: Route) -> dict[str, Any]:
    return {
        "methods": list(route.methods),
        "pattern": route.pattern,
        "plugin": route.plugin,
        "public": route.public,
        "scopes": list(route.scopes),
        "summary": route.doc,
    }


@click.command
@json_option
def plugins(as_json: bool) -> None:
    """List the installed plugins, and why any of them failed to load."""
    found = installed()
    there: list[Plugin | Broken] = [*found.loaded, *found.broken]
    rows = map(_describe_plugin, there)
    _show(PLUGIN, sorted(rows, key=itemgetter("name")), as_json=as_json)


def _describe_plugin(plugin: Plugin | Broken) -> dict[str, Any]:
    reason = plugin.reason if isinstance(plugin, Broken) else None
    return {
        "name": plugin.name,
        "version": plugin.version,
        "distribution": plugin.distribution,
        "status": "failed" if reason else "ok",
        "reason": reason,
    }


def _show(heads: Sequence[str], rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    click.echo(orjson.dumps(rows) if as_json else table(heads, rows))
