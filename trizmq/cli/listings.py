"""`trizmq routes`, `plugins`, `services`: what would be, what is there, what is now."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from ..app.application import App
from ..app.plugins import Broken, installed, load
from ..errors import ResponseError
from .exits import Exit, Failure
from .options import (
    connect_option,
    json_option,
    plugin_options,
    state_dir_option,
    timeout_option,
    token_option,
)
from .settings import config_option, plugin_tables
from .table import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..app.hookspecs import Route
    from ..app.plugins import Plugin

__all__ = ["plugins", "routes", "services"]

#: The columns of each listing: keys of the same listing's JSON.
ROUTE: Final = ("methods", "pattern", "plugin", "public", "scopes", "summary")
PLUGIN: Final = ("name", "version", "distribution", "status", "reason")
SERVICE: Final = ("name", "workers", "queued", "in_flight")


@click.command
@plugin_options
@config_option
@json_option
@click.pass_context
def routes(
    ctx: click.Context, /, plugins: tuple[str, ...] | None, modules: tuple[str, ...], as_json: bool
) -> None:
    """List what would be served."""
    app = App(load(plugins, modules), config=plugin_tables(ctx))
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
    """List what is installed, and what failed and why."""
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


@click.command
@token_option
@timeout_option
@connect_option
@config_option
@state_dir_option
@json_option
def services(
    token: str | None, timeout: float, connect: str, state_dir: Path | None, as_json: bool
) -> None:
    """List what a running broker serves now."""
    # Here, for `routes` and `plugins` need no sockets: half the time to start.
    from .exchange import Outgoing, exchange, find_token

    token = token or find_token(connect, state_dir)
    response = exchange(Outgoing("GET", "/mmi/services", connect, token, timeout))
    try:
        rows = response.raise_for_status().json()
    except ResponseError as error:
        raise Failure(str(error), Exit.of_status(response.status)) from error
    _show(SERVICE, rows, as_json=as_json)


def _show(heads: Sequence[str], rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    click.echo(orjson.dumps(rows) if as_json else table(heads, rows))
