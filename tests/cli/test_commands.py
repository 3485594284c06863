"""The commands: quick to list, loaded when they run, and extensible by plugins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from trizmq import __version__
from trizmq.broker import engine as broker
from trizmq.cli import COMMANDS, Deferred, command_line

if TYPE_CHECKING:
    from .conftest import CommandLine, Installer

NEW_COMMAND = """
import click, trizmq

@click.group()
def greet():
    "Greet people."

@greet.command()
@click.option("--timeout", type=float, default=0.0)
def all(timeout):
    click.echo(f"hello for {timeout:g} s")

@trizmq.hookimpl
def trizmq_register_commands(cli):
    cli.add_command(greet)
"""

TAKEN = """
import click, trizmq

@trizmq.hookimpl
def trizmq_register_commands(cli):
    cli.add_command(click.Command("run"))
"""


def test_the_help_in_the_list_is_that_of_the_commands() -> None:
    for entry in COMMANDS:
        name, _, line = entry
        command = Deferred(*entry).load()
        assert command.name == name
        assert (command.help or "").partition("\n")[0] == line


def imported_by(*args: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "trizmq", *args, "--help"],
        capture_output=True,
        check=True,
        text=True,
    )
    return {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}


def test_help_does_not_import_trio_or_zmq() -> None:
    imported = imported_by()
    assert "click" in imported
    assert not {"trio", "zmq", "trizmq.processes", "trizmq.app.application"} & imported


@pytest.mark.parametrize(
    ("command", "others"),
    [
        *((name, {"broker", "worker", "processes"}) for name in ("call", "bench", "health")),
        ("services", {"broker", "worker", "processes"}),
        ("worker", {"broker", "client"}),
        ("broker", {"client"}),
    ],
)
def test_a_command_imports_no_role_that_it_does_not_need(command: str, others: set[str]) -> None:
    imported = imported_by(command)
    assert "trizmq.settings" in imported
    assert not {f"trizmq.{role}" for role in others} & imported


def test_help_lists_built_in_commands_first(trizmq: CommandLine) -> None:
    listed = command_line().list_commands(click.Context(command_line()))
    assert listed[: len(COMMANDS)] == [name for name, _, _ in COMMANDS]
    assert trizmq("--help").exit_code == 0


def test_version_shows_whether_the_hot_path_is_compiled(trizmq: CommandLine) -> None:
    kind = "pure Python" if Path(broker.__file__).suffix == ".py" else "compiled"
    assert trizmq("--version").stdout == f"trizmq {__version__} ({kind})\n"


def test_an_unknown_command_is_exit_code_2(trizmq: CommandLine) -> None:
    assert trizmq("nonsense").exit_code == 2


def test_a_plugin_adds_commands_that_use_the_settings_file(
    trizmq: CommandLine, install: Installer
) -> None:
    install("greeter", NEW_COMMAND)
    assert "Greet people." in trizmq("--help").stdout
    assert trizmq("greet", "all").stdout == "hello for 0 s\n"
    (trizmq.directory / "trizmq.toml").write_text("timeout = 7")
    assert trizmq("greet", "all").stdout == "hello for 7 s\n"
    (trizmq.directory / "other.toml").write_text("timeout = 8")
    assert trizmq("greet", "all", "--config", "other.toml").stdout == "hello for 8 s\n"


def test_a_broken_plugin_does_not_hide_other_commands(
    trizmq: CommandLine, install: Installer
) -> None:
    install("broken", "1/0")
    install("taken", TAKEN)
    install("greeter", NEW_COMMAND)
    result = trizmq("--help")
    assert result.exit_code == 0
    assert "greet" in result.stdout
    assert "trizmq: plugin 'broken' is skipped: " in result.stderr
    assert "there is a command 'run' already" in result.stderr
    assert trizmq("run", "--help").stderr == ""


def test_two_plugins_with_one_name_are_reported(trizmq: CommandLine, install: Installer) -> None:
    install("users", "", distribution="other-users")
    result = trizmq("--help")
    assert result.exit_code == 0
    assert "two distributions contain a plugin 'users'" in result.stderr


def test_a_built_in_command_does_not_look_at_plugins(
    trizmq: CommandLine, install: Installer
) -> None:
    install("broken", "1/0")
    assert trizmq("call", "--help").stderr == ""
