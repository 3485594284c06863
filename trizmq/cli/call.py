"""`trizmq call`: one call; the body of its response goes to stdout, the rest to stderr."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import trio

from ..app.config import local_token_file
from ..app.config import state_dir as state_dir_of
from ..bounds import find_oversize_part
from ..client.foreign import FOREIGN_DIALECTS, call_foreign
from ..client.opening import open_client
from ..errors import (
    CallError,
    ConfigError,
    DeadlineExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    Unreachable,
)
from ..limits import MOST_BODY_BYTES as MOST
from ..limits import Limits
from ..messages import Response, ResponseError, problem, reason_phrase
from ..transport.endpoints import is_local, split_endpoints
from ..transport.zeromq import ZmqTransport
from ..wire.items import Call
from ..wire.native import NATIVE
from ..wire.return_path import PLAIN
from .options import chosen, flags
from .output import Exit, Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..client.streams import ResponseStream
    from ..settings import Settings

__all__ = ["Outgoing", "ask", "call", "exchange", "find_token"]


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
@click.option("--stream", "as_stream", is_flag=True, help="Print the parts as they arrive.")
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
    as_stream: bool,
    include: bool,
    spoken: str,
) -> None:
    """Make one call, METHOD PATH, and print the body of its response.

    The exit code is 0 for a status of 2xx or 3xx, 4 for 4xx, 5 for 5xx, 3 if no broker answers,
    and 124 if the deadline passed (also for a status of 504).

    In another --dialect, POST /NAME without headers calls a service of any Majordomo broker by
    its bare name. The admin token is not sent, because it would be part of that name.

    With --stream, the timeout applies to the beginning of the response only.
    """
    if as_stream and spoken != NATIVE:
        raise click.UsageError(f"--stream needs the native dialect, not {spoken}")
    settings = chosen(ctx)
    token = settings.token
    if not token and spoken in (NATIVE, PLAIN):
        token = find_token(settings.connect, settings.state_dir)
    outgoing = Outgoing(
        method, path, settings.connect, token, settings.timeout, headers, body, spoken
    )
    if as_stream:
        response = _run(_print_stream, outgoing, include)
    else:
        response = exchange(outgoing)
        _print_head(response, wanted=include)
        _print_body(response)
    _print_error(response)
    ctx.exit(Exit.of_status(response.status))


def _print_head(response: Response | ResponseStream, *, wanted: bool) -> None:
    if wanted:
        lines = [f"{name}: {value}" for name, value in response.headers.items()]
        line = f"{response.status} {reason_phrase(response.status)}"
        click.echo("\n".join([line, *lines]), err=True)


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


class Outgoing(NamedTuple):
    """A request, its broker, and its timeout."""

    method: str
    target: str
    connect: str
    token: str | None
    timeout: float
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    dialect: str = NATIVE


def ask(target: str, settings: Settings) -> Response:
    """GET ``target``, as `exchange` does; the token is the admin's if none is set."""
    token = settings.token or find_token(settings.connect, settings.state_dir)
    return exchange(Outgoing("GET", target, settings.connect, token, settings.timeout))


def exchange(outgoing: Outgoing) -> Response:
    """Send the request and return the response, whatever its status.

    Raises:
      Failure: there is no response: no broker answered, or the deadline passed.

    """
    return _run(_exchange if outgoing.dialect == NATIVE else _exchange_foreign, outgoing)


def _run(make_call: Callable[..., Awaitable[Response]], *given: Any) -> Response:
    try:
        return trio.run(make_call, *given)
    except BrokenPipeError:
        raise  # of a stream, for click: the reader of our output has gone
    except Unreachable as error:
        raise Failure(str(error), Exit.UNREACHABLE) from error
    except LocalProtocolError as error:
        raise Failure(str(error), Exit.USAGE) from error
    except (CallError, RemoteProtocolError, OSError) as error:
        raise Failure(str(error), Exit.FAULT) from error
    except BaseExceptionGroup as group:
        # Ctrl-C that arrived inside a nursery.
        if group.subgroup(KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


async def _exchange(outgoing: Outgoing) -> Response:
    method, target, connect, token, timeout, headers, body, _ = outgoing
    async with open_client(connect, token=token, limits={"body_bytes": MOST}) as client:
        # The deadline may end the call as a cancellation or as an error, whichever comes first.
        with trio.move_on_after(timeout), suppress(DeadlineExceeded):
            return await client.request(method, target, headers=headers, body=body)
        was_there = client.is_connected
    raise _no_response(outgoing, was_there=was_there)


async def _print_stream(outgoing: Outgoing, include: bool) -> Response:
    """Print the parts of a response as they arrive; return the head, or the error at the end."""
    method, target, connect, token, timeout, headers, body, _ = outgoing
    out = trio.wrap_file(sys.stdout.buffer)  # so that a slow reader of our output stops only us
    async with open_client(connect, token=token) as client:
        with suppress(DeadlineExceeded):
            async with client.stream(
                method, target, headers=headers, body=body, head_seconds=timeout
            ) as response:
                _print_head(response, wanted=include)
                try:
                    async for part in response:
                        await out.write(part)
                        await out.flush()
                except ResponseError as error:
                    return error.response
                return Response(response.status, response.headers)
        was_there = client.is_connected
    raise _no_response(outgoing, was_there=was_there)


def _no_response(outgoing: Outgoing, *, was_there: bool) -> Failure:
    connect, timeout = outgoing.connect, outgoing.timeout
    if was_there:
        return Failure(f"no response within {timeout:g} s", Exit.DEADLINE)
    return Failure(f"no answer: {connect} did not respond within {timeout:g} s", Exit.UNREACHABLE)


async def _exchange_foreign(outgoing: Outgoing) -> Response:
    call = _foreign(outgoing)
    oversize = find_oversize_part(call.method, call.target, call.headers, call.body, Limits())
    if oversize is not None:
        return problem(*oversize, executed="no")
    transport = ZmqTransport(max_frame=Limits(body_bytes=MOST).frame_bytes)
    deadline = trio.current_time() + outgoing.timeout
    connect, dialect = outgoing.connect, outgoing.dialect
    try:
        return await call_foreign(transport, connect, dialect, call, deadline)
    except DeadlineExceeded as error:
        raise Failure(f"{error}, within {outgoing.timeout:g} s", Exit.DEADLINE) from error
    finally:
        await transport.aclose()


def _foreign(outgoing: Outgoing) -> Call:
    method, target, _, token, timeout, headers, body, _ = outgoing
    bearer = {"authorization": f"Bearer {token}"} if token else {}
    return Call(0, round(timeout * 1000), method, target, {**bearer, **headers}, body)


def find_token(connect: str, state_dir: Path | None) -> str | None:
    """Return the token in this machine's `local_token_file`, if this user may read it.

    It may have all permissions on this machine and is worthless elsewhere, so it is sent only to
    endpoints on this machine: ``--connect`` must not send it over a network unencrypted.
    """
    if not all(map(is_local, split_endpoints(connect))):
        return None
    try:
        return local_token_file(state_dir_of(state_dir)).read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError, ConfigError):
        return None
