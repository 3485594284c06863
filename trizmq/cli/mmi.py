"""`trizmq services` and `trizmq health`: requests to a running broker's MMI services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click
import orjson

from ..messages import ResponseError
from .call import ask
from .options import chosen, flags, json_option
from .output import Exit, Failure, table

if TYPE_CHECKING:
    from ..messages import Response

__all__ = ["health", "services"]

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
