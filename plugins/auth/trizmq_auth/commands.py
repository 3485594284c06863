"""`trizmq token`: create, list and revoke tokens."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from trizmq import state_dir as state_dir_of

from .admin import forget_admin
from .store import Token, TokenStore
from .verifier import LOOK_EVERY

__all__ = ["token"]

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

#: The first and the last second that can be shown as a date; stored values may be outside.
FIRST: Final = datetime.min.replace(tzinfo=UTC).timestamp()
LAST: Final = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()

#: RFC 6749, section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def expiry(text: str) -> float:
    """Parse ``30d``, ``12h`` or an ISO date; return seconds since the epoch."""
    expires = _after(text) or _at(text)
    if expires is None:
        raise click.BadParameter(f"{text!r} is neither like 30d, 12h, 15m nor an ISO date")
    if expires > LAST:
        raise click.BadParameter(f"{text!r} is after the year 9999: for never, leave it out")
    if expires <= time.time():
        raise click.BadParameter(f"{text!r} is in the past")
    return expires


def _after(text: str) -> float | None:
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    return time.time() + int(match[1]) * SECONDS[match[2]] if match else None


def _at(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def scope(text: str) -> str:
    """Validate the name of a scope."""
    if not SCOPE.fullmatch(text):
        raise click.BadParameter(f"{text!r} is not printable ASCII without spaces")
    return text


def principal(text: str) -> str:
    """Validate the name of a principal."""
    if not text.strip() or not text.isprintable():
        raise click.BadParameter(f"{text!r} is not a valid name")
    return text


state_dir_option = click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TRIZMQ_STATE_DIR",
    help="Directory of the tokens.  [default: the user's state directory]",
)


@click.group
def token() -> None:
    """Create, list and revoke tokens."""


@token.command
@click.option("--principal", type=principal, required=True, metavar="NAME", help="The caller.")
@click.option(
    "--scope",
    "scopes",
    type=scope,
    multiple=True,
    metavar="S",
    help="A scope; can be repeated; * includes all others.",
)
@click.option(
    "--expires", type=expiry, metavar="T", help="30d, 12h, or an ISO date (UTC).  [default: never]"
)
@state_dir_option
def new(
    principal: str, scopes: tuple[str, ...], expires: float | None, state_dir: Path | None
) -> None:
    """Create a token and print it, and nothing else: it cannot be shown again."""
    store = TokenStore(state_dir_of(state_dir))
    text = store.add(principal, scopes, expires)
    try:
        click.echo(text)
    except OSError:  # the token was not printed
        store.revoke(text.partition(".")[0])
        raise


@token.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@state_dir_option
def list_(as_json: bool, state_dir: Path | None) -> None:
    """List the tokens, without their secrets, which are not stored."""
    rows = [_row(token) for token in TokenStore(state_dir_of(state_dir)).tokens()]
    click.echo(msgspec.json.encode(rows) if as_json else _table(rows))


def _row(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "principal": token.principal,
        "scopes": list(token.scopes),
        "created": _iso(token.created),
        "expires": None if token.expires is None else _iso(token.expires),
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(min(max(moment, FIRST), LAST), UTC).isoformat(timespec="seconds")


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [
        ("ID", "PRINCIPAL", "SCOPES", "EXPIRES"),
        *(
            (row["id"], row["principal"], ",".join(row["scopes"]) or "-", row["expires"] or "never")
            for row in rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


@token.command
@click.argument("token_id", metavar="ID")
@state_dir_option
def revoke(token_id: str, state_dir: Path | None) -> None:
    """Revoke a token. When this command returns, no server accepts the token any more."""
    directory = state_dir_of(state_dir)
    if not TokenStore(directory).revoke(token_id):
        raise click.ClickException(f"there is no token {token_id!r}")
    forget_admin(directory, token_id)
    # Servers trust the content for LOOK_EVERY; wait over twice that, in case one is busy.
    time.sleep(2.5 * LOOK_EVERY)
