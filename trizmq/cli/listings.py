"""`trizmq routes`, `plugins`, `services` and `health`: listings, and the state of a broker."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from ..app.application import App
from ..app.plugins import Broken, installed, load
from ..messages import ResponseError
from .call import ask
from .options import chosen, flags, json_option
from .output import Exit, Failure, table
from .toml import plugin_tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..app.plugins import Plugin
    from ..app.router import Route
    from ..messages import Response

__all__ = ["health", "plugins", "routes", "services"]


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


#: The columns of the services: keys of their JSON.
SERVICE: Final = ("name", "workers", "queued", "in_flight")


@click.command
@flags("token", "timeout", "connect", "config", "state_dir")
@json_option
@click.pass_context
def services(ctx: click.Context, /, as_json: bool) -> None:
    """List the services of a running broker."""
    response = ask("/mmi/services", chosen(ctx))
    try:
        rows = response.raise_for_status().json()
    except ResponseError as error:
        raise Failure(str(error), Exit.of_status(response.status)) from error
    click.echo(orjson.dumps(rows) if as_json else table(SERVICE, rows))


@click.command
@flags("token", "timeout", "connect", "config", "state_dir")
@json_option
@click.pass_context
def health(ctx: click.Context, /, as_json: bool) -> None:
    """Show whether a running broker is healthy.

    The exit code is 0 if its status is ok, 1 if it is not, and 3 if no broker answers.
    """
    response = ask("/mmi/health", chosen(ctx))
    report = _report(response)
    click.echo(response.body if as_json else "\n".join(map(_line, report.items())))
    ctx.exit(Exit.OK if report["status"] == "ok" else Exit.FAULT)


def _report(response: Response) -> dict[str, Any]:
    """Return the report of the broker, whatever the status of the response."""
    try:
        report = response.json()
    except ValueError:
        report = None
    if isinstance(report, dict) and isinstance(report.get("status"), str):
        return report
    raise Failure(f"no health report: {response.status}", Exit.FAULT)


def _line(member: tuple[str, Any]) -> str:
    name, value = member
    text = ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
    return f"{name.replace('_', ' ')}: {text}"
