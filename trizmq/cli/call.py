"""`trizmq call`: one call; the body of its response goes to stdout, the rest to stderr."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..client.foreign import FOREIGN_DIALECTS
from ..errors import ResponseError
from ..messages import reason_phrase
from ..wire.native import NATIVE
from ..wire.return_path import PLAIN
from .exchange import Outgoing, exchange, find_token
from .options import chosen, flags
from .output import Exit

if TYPE_CHECKING:
    from ..messages import Response

__all__ = ["call"]


def _upper(_ctx: object, _param: object, method: str) -> str:
    return method.upper()


def _rooted(_ctx: object, _param: object, path: str) -> str:
    if not path.startswith("/"):
        raise click.BadParameter(f"{path!r} does not start with '/'")
    return path


def _body(_ctx: object, _param: object, data: str) -> bytes:
    if data == "-":
        return sys.stdin.buffer.read()
    return _content(data[1:]) if data.startswith("@") else os.fsencode(data)


def _content(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{name}: {error.strerror}") from error


def _fields(_ctx: object, _param: object, lines: tuple[str, ...]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in map(_field, lines):  # of one name: joined (RFC 9110, section 5.3)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not (colon and name.strip()):
        raise click.BadParameter(f"{line!r} is not of the form 'name: value'")
    return name.strip().lower(), value.strip()


@click.command
@click.argument("method", callback=_upper)
@click.argument("path", callback=_rooted)
@click.option(
    "-d",
    "--data",
    "body",
    default="",
    callback=_body,
    metavar="DATA|@FILE|-",
    help="The body; - is stdin.",
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    callback=_fields,
    metavar="NAME:VALUE",
    help="A header; can be repeated.",
)
@click.option("-i", "--include", is_flag=True, help="Status and headers too, on stderr.")
@click.option(
    "--dialect",
    "spoken",  # not the setting, which is the dialect of workers
    type=click.Choice([NATIVE, *FOREIGN_DIALECTS]),
    default=NATIVE,
    show_default=True,
    help="Dialect of the broker. mdp01, mdp02, majortomo and packed also suit other brokers.",
)
@flags("token", "timeout", "connect", "config", "state_dir")
@click.pass_context
def call(
    ctx: click.Context,
    /,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    include: bool,
    spoken: str,
) -> None:
    """Make one call, METHOD PATH, and print the body of its response.

    The exit code is 0 for a status of 2xx or 3xx, 4 for 4xx, 5 for 5xx, 3 if no broker answers,
    and 124 if the deadline passed (also for a status of 504).

    In another --dialect, POST /NAME without headers calls a service of any Majordomo broker by
    its bare name. The admin token is not sent, because it would be part of that name.
    """
    settings = chosen(ctx)
    token = settings.token
    if not token and spoken in (NATIVE, PLAIN):
        token = find_token(settings.connect, settings.state_dir)
    response = exchange(
        Outgoing(method, path, settings.connect, token, settings.timeout, headers, body, spoken)
    )
    if include:
        click.echo(_head(response), err=True)
    _print_body(response)
    _print_error(response)
    ctx.exit(Exit.of_status(response.status))


def _head(response: Response) -> str:
    lines = [f"{name}: {value}" for name, value in response.headers.items()]
    return "\n".join([f"{response.status} {reason_phrase(response.status)}", *lines])


def _print_body(response: Response) -> None:
    """Write the bytes unchanged; JSON on a terminal is followed by a line end."""
    out = sys.stdout.buffer
    out.write(response.body)
    if response.body and response.content_type.endswith("json") and out.isatty():
        out.write(b"\n")
    out.flush()


def _print_error(response: Response) -> None:
    try:
        response.raise_for_status()
    except ResponseError as error:
        click.echo(f"trizmq: {error}", err=True)
