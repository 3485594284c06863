"""An installed plugin that is broken in any way is one line of error; the commands still work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

if TYPE_CHECKING:
    from .conftest import CommandLine, Installer

#: Sources of plugins that cannot be loaded.
AT_IMPORT = {
    "exception": "1 / 0",
    "exit": "import sys; sys.exit(3)",
    "base exception": "class Odd(BaseException): pass\nraise Odd('why')",
    "generator exit": "raise GeneratorExit",
    "mute": "class Mute(Exception):\n    def __str__(self): raise OSError\nraise Mute",
    "mute and out": "class Mute(Exception):\n    def __str__(self): raise SystemExit\nraise Mute",
    "syntax": "def (",
    "null byte": "x = 1\0",
    "recursion": "def f(): f()\nf()",
    "not there": "import nowhere_at_all",
    "no hook": "",
    "hook": "import trizmq\n@trizmq.hookimpl\ndef trizmq_nothing(): pass",
    "dir": "def __dir__(): raise OSError('no')",
    "attributes": "import trizmq\ndef __dir__(): return ['trizmq_admit']\n"
    "def __getattr__(name): raise SystemExit(name)",
}

REGISTER = "import click, trizmq\n@trizmq.hookimpl\ndef trizmq_register_commands(cli):\n    "

#: Sources of plugins that can be loaded but fail when their commands are requested.
AT_REGISTRATION = {
    "exception": "1 / 0",
    "exit": "raise SystemExit(3)",
    "base exception": "raise BaseException",
    "no command": "cli.add_command(5)",
    "nothing": "cli.add_command(None)",
    "taken": "cli.add_command(click.Command('run'))",
    "help": "cli.add_command(type('C', (click.Command,), {'get_short_help_str': 5})('c'))",
}

GREETER = REGISTER + "cli.add_command(click.Command('greet', help='Say hello.'))"


def works(trizmq: CommandLine, *said: str) -> None:
    result = trizmq("--help")
    assert result.exit_code == 0
    assert "greet" in result.stdout
    assert "token" in result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    for text in said:
        assert text in lines[0]
    assert trizmq("token", "--help").exit_code == 0
    assert trizmq("greet", "--help").exit_code == 0
    for house in (["--version"], ["call", "--help"], ["run", "--help"]):
        result = trizmq(*house)
        assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("source", AT_IMPORT.values(), ids=AT_IMPORT)
def test_a_plugin_that_cannot_be_loaded(
    trizmq: CommandLine, install: Installer, source: str
) -> None:
    install("greeter", GREETER)
    install("broken", source)
    works(trizmq, "trizmq: plugin 'broken' is skipped: ")
    rows = {row["name"]: row for row in orjson.loads(trizmq("plugins", "--json").stdout)}
    assert (rows["broken"]["status"], rows["greeter"]["status"]) == ("failed", "ok")
    listed = trizmq("routes")
    assert listed.exit_code == 0
    assert "/users" in listed.stdout
    named = trizmq("routes", "--plugins", "broken")
    assert named.exit_code == 2
    (line,) = named.stderr.splitlines()
    assert "trizmq: plugin 'broken' is broken: " in line


@pytest.mark.parametrize("source", AT_REGISTRATION.values(), ids=AT_REGISTRATION)
def test_a_plugin_that_cannot_register(
    trizmq: CommandLine, install: Installer, source: str
) -> None:
    install("greeter", GREETER)
    install("broken", REGISTER + source)
    works(trizmq, "plugin 'broken': trizmq_register_commands: ", "broken")


def test_two_distributions_with_one_name(trizmq: CommandLine, install: Installer) -> None:
    install("greeter", GREETER)
    install("users", "", distribution="other-users")
    works(trizmq, "two distributions contain a plugin 'users': ")
    rows = {row["name"]: row for row in orjson.loads(trizmq("plugins", "--json").stdout)}
    assert rows["users"]["status"] == "failed"
    assert trizmq("routes", "--plugins", "auth").exit_code == 0
    for unnamed in ([], ["--plugins", "users"]):
        result = trizmq("routes", *unnamed)
        assert result.exit_code == 2
        assert "two distributions contain a plugin 'users': " in result.stderr
