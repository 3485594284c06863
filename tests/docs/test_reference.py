"""The reference is complete: names, commands, settings, limits, items, frames."""

from __future__ import annotations

import re
from typing import Final, get_args

import click
import pytest
from msgspec.structs import fields

import trizmq
from trizmq.broker.outbox import Counters
from trizmq.cli import COMMANDS, command_line
from trizmq.cli.toml import SettingsFile
from trizmq.fields import Field, fields_of
from trizmq.limits import Limits
from trizmq.settings import SETTINGS
from trizmq.wire import mdp
from trizmq.wire.items import Item
from trizmq.wire.mdp import MDP
from trizmq.wire.return_path import PLAIN

DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(?:class|data|exception|function):: (\w+)", re.MULTILINE)
CLICK = re.compile(r"^   :prog: trizmq (\w+)(\n   :nested: full)?", re.MULTILINE)

#: The page's names for the commands of clients; for workers, they are the class names.
CLIENT: Final[dict[type[mdp.ClientRequest | mdp.Reply], str]] = {
    mdp.ClientRequest: "REQUEST, to the broker",
    mdp.ClientPartial: "PARTIAL, to the client",
    mdp.ClientFinal: "FINAL, to the client",
}


def test_every_public_name_and_no_other(page) -> None:
    described = set(DIRECTIVE.findall(page("docs/reference/python.md").text))
    public = {*trizmq.__all__, *trizmq.testing.__all__} - {"testing"}
    assert described == public | {"trizmq_app"}


def test_every_command_with_its_options(page) -> None:
    """The options are generated from click, and from ``nested`` for a group."""
    shown = dict(CLICK.findall(page("docs/reference/cli.md").text))
    group = command_line()
    context = click.Context(group, info_name="trizmq")
    assert shown.keys() == set(group.list_commands(context))
    for name, nested in shown.items():
        assert bool(nested) == isinstance(loaded(context, name), click.Group)


def test_every_setting_with_its_variable_flag_default_and_help(page) -> None:
    rows = page("docs/reference/configuration.md").section("Configuration").rows
    rows.pop("key in `trizmq.toml")
    assert rows == {name: row(field) for name, field in SETTINGS.items()}


def row(field: Field) -> list[str]:
    """Format a setting like the page."""
    match field.default:
        case None:
            default = field.extra["unset"]
        case bool():
            default = str(field.default).lower()
        case str():
            default = f"`{field.default}`"
        case int() | float():
            default = f"{field.default:g}"
        case _:
            default = "none"
    flag = field.flags[-1].partition("/")[0]
    return [f"`{field.variable}`", f"`{flag}`", default, field.words, field.meta.description or ""]


def test_every_setting_has_a_flag_and_a_variable() -> None:
    context = click.Context(command_line())
    options = [
        option
        for name, *_ in COMMANDS
        for option in loaded(context, name).params
        if option.name in SETTINGS
    ]
    assert {option.name for option in options} == SETTINGS.keys()
    for option in options:
        field = SETTINGS[str(option.name)]
        assert option.envvar == field.variable
        assert set(field.flags) <= {"/".join([*option.opts, *option.secondary_opts]), *option.opts}


def test_the_settings_file_that_is_shown(page, tmp_path) -> None:
    block = page("docs/reference/configuration.md").blocks[0]
    (tmp_path / "trizmq.toml").write_text(block.text)
    file = SettingsFile(tmp_path / "trizmq.toml")
    assert file.mistakes == []
    assert file.values["plugins"] == ("users", "auth")


def loaded(context: click.Context, name: str) -> click.Command:
    assert isinstance(context.command, click.Group)
    _, command, _ = context.command.resolve_command(context, [name])
    assert command
    return command


def test_every_limit_with_its_default_and_bounds(page) -> None:
    rows = page("docs/reference/statuses.md").section("Limits of the broker").rows
    rows.pop("limit")
    assert rows == {name: limit_row(field) for name, field in fields_of(Limits).items()}


def limit_row(field: Field) -> list[str]:
    """Write a limit as the page does."""
    low, high = field.meta.ge, field.meta.le
    return [f"{field.default:,.15g}", f"{low:,.15g} to {high:,.15g}", field.meta.description or ""]


def test_every_counter(page) -> None:
    rows = page("docs/reference/statuses.md").section("Counters of the broker").rows
    assert list(rows)[1:] == list(Counters().as_dict())


def test_every_error_that_ends_a_call(page) -> None:
    rows = page("docs/reference/statuses.md").section("Outcomes").rows
    causes = {error.__name__ for error in trizmq.NoResponseError.__subclasses__()}
    assert causes <= rows.keys()


def test_every_item_with_its_fields(page) -> None:
    rows = page("docs/protocol.md").section("`native`").rows
    said = {int(tag): cells for tag, cells in rows.items() if tag.isdigit()}
    assert said == {
        kind.__struct_config__.tag: [
            kind.__name__.lower(),
            ", ".join(f"`{field.name}`" for field in fields(kind)) or "none",
        ]
        for kind in get_args(Item)
    }


def test_every_dialect(page) -> None:
    rows = page("docs/protocol.md").section("How dialects are recognized").rows
    assert {cells[0].strip("`") for cells in rows.values()} >= {*MDP, PLAIN, "native"}


@pytest.mark.parametrize("dialect", [name for name, codec in MDP.items() if not codec.is_packed])
def test_every_command_of_mdp_frame_by_frame(page, dialect: str) -> None:
    rows = page("docs/protocol.md").section("`mdp01` and `mdp02`: the Majordomo Protocol").rows
    column = rows["command"].index(f"`{dialect}`")
    said = {name: cells[column].replace("`", "") for name, cells in rows.items()}
    codec = MDP[dialect]
    for kind, name in CLIENT.items():
        assert said[name] == written(codec.client.get(kind))
    for command in get_args(mdp.Command):
        assert said[command.__name__.upper()] == written(codec.worker.get(command))


def test_every_command_of_packed_byte_by_byte(page) -> None:
    rows = page("docs/protocol.md").section("`packed`: the C library majordomo").rows
    said = {name: cells[0].replace("`", "") for name, cells in rows.items() if name != "command"}
    codec = MDP["packed"]
    written: dict[str, list[bytes]] = {
        "REQUEST of a client": codec.encode_request(mdp.ClientRequest(b"svc", (b"",))),
        "PARTIAL to a client": codec.encode_reply(mdp.ClientPartial(b"svc", (b"",))),
        "FINAL to a client": codec.encode_reply(mdp.ClientFinal(b"svc", (b"",))),
        "READY": codec.encode_worker(mdp.Ready("svc")),
        "REQUEST": codec.encode_worker(mdp.Request(b"a", (b"",))),
        "PARTIAL": codec.encode_worker(mdp.Partial(b"a", (b"",))),
        "FINAL": codec.encode_worker(mdp.Final(b"a", (b"",))),
        "HEARTBEAT": codec.encode_worker(mdp.Heartbeat()),
        "DISCONNECT": codec.encode_worker(mdp.Disconnect()),
    }
    assert {name: bytes_of(text) for name, text in said.items()} == {
        name: frames[0] for name, frames in written.items()
    }


def bytes_of(text: str) -> bytes:
    """Parse a frame as the page writes it, for the service ``svc``."""
    words = {"length": b"\x03", "service": b"svc", "MDPC02": b"MDPC02", "MDPW02": b"MDPW02"}
    return b"".join(words[word] if word in words else bytes.fromhex(word) for word in text.split())


def written(row: mdp.Row | None) -> str:
    """Format a row like the page."""
    return " ".join(map(word, row)) if row else "none"


def word(frame: bytes | str) -> str:
    """Format a frame as empty, as a hexadecimal code or as a header; or return its name."""
    if isinstance(frame, str):
        return {"gap": "∅", "body": "body+"}.get(frame, frame)
    return frame.hex() if len(frame) == 1 else frame.decode() or "∅"
