"""`trizmq health`: whether a running broker is well, for people and for probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .exchange import Outgoing, exchange, find_token
from .exits import Exit, Failure
from .options import connect_option, json_option, state_dir_option, timeout_option, token_option
from .settings import config_option

if TYPE_CHECKING:
    from pathlib import Path

    from ..messages import Response

__all__ = ["health"]


@click.command
@token_option
@timeout_option
@connect_option
@config_option
@state_dir_option
@json_option
@click.pass_context
def health(
    ctx: click.Context,
    /,
    token: str | None,
    timeout: float,
    connect: str,
    state_dir: Path | None,
    as_json: bool,
) -> None:
    """Tell whether a running broker is well.

    The exit code is 0 if its status is ok, 1 if it is not, 3 if nobody is there.
    """
    token = token or find_token(connect, state_dir)
    response = exchange(Outgoing("GET", "/mmi/health", connect, token, timeout))
    report = _report(response)
    click.echo(response.body if as_json else "\n".join(map(_line, report.items())))
    ctx.exit(Exit.OK if report["status"] == "ok" else Exit.FAULT)


def _report(response: Response) -> dict[str, Any]:
    """Return what the broker says of itself, whatever the response's own status."""
    try:
        report = response.json()
    except ValueError:
        report = None
    if isinstance(report, dict) and isinstance(report.get("status"), str):
        return report
    raise Failure(f"no report on its health: {response.status}", Exit.FAULT)


def _line(member: tuple[str, Any]) -> str:
    name, value = member
    text = ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
    return f"{name.replace('_', ' ')}: {text}"
