"""One request to a running broker, and its response."""

from __future__ import annotations

from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from ..app.config import state_dir as state_dir_of
from ..bounds import find_oversize_part
from ..client.foreign import call_foreign
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
from ..messages import problem
from ..transport.endpoints import is_local, split_endpoints
from ..transport.zeromq import ZmqTransport
from ..wire.items import Call
from ..wire.native import NATIVE
from .output import Exit, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..messages import Response
    from ..settings import Settings

__all__ = ["Outgoing", "ask", "exchange", "find_token"]

#: Where the auth plugin leaves the token of the first start. WARNING: it must write there.
ADMIN_TOKEN: Final = "admin-token"  # noqa: S105 (a file's name)


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
    try:
        return trio.run(_exchange if outgoing.dialect == NATIVE else _exchange_foreign, outgoing)
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
    if was_there:
        raise Failure(f"no response within {timeout:g} s", Exit.DEADLINE)
    raise Failure(f"no answer: {connect} did not respond within {timeout:g} s", Exit.UNREACHABLE)


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
    """Return the admin token of a first start, if this user may read it.

    It is all-powerful here and worth nothing elsewhere, so it is shown to endpoints on
    this machine only: ``--connect`` must not send it over a network, in the clear.
    """
    if not all(map(is_local, split_endpoints(connect))):
        return None
    try:
        return (state_dir_of(state_dir) / ADMIN_TOKEN).read_text("ascii").strip() or None
    except (OSError, UnicodeDecodeError, ConfigError):
        return None
