"""Settings: flag over TRIZMQ_* over trizmq.toml over default; what is wrong is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from trizmq.cli.options import connect_option, plugin_options, timeout_option
from trizmq.cli.settings import SETTINGS, config_option, plugin_tables, read_settings
from trizmq.errors import ConfigError

SEEN: dict[str, Any] = {}


@click.command
@plugin_options
@connect_option
@timeout_option
@config_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    SEEN.clear()
    SEEN.update(options, tables=plugin_tables(ctx))


def run(*args: str, **environment: str) -> dict[str, Any]:
    result = CliRunner(env=environment).invoke(command, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return SEEN


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings_file(text: str, name: str = "trizmq.toml") -> Path:
    path = Path(name)
    path.write_text(text, "utf-8")
    return path


def test_flag_over_environment_over_file_over_default() -> None:
    assert run()["connect"] == "tcp://127.0.0.1:5555"
    settings_file('connect = "ipc://file"')
    assert run()["connect"] == "ipc://file"
    assert run(TRIZMQ_CONNECT="ipc://environment")["connect"] == "ipc://environment"
    flagged = run("--connect", "ipc://flag", TRIZMQ_CONNECT="ipc://environment")
    assert flagged["connect"] == "ipc://flag"


def test_the_file_is_named_by_flag_over_environment_over_the_working_directory() -> None:
    settings_file("timeout = 1")
    settings_file("timeout = 2", "second.toml")
    settings_file("timeout = 3", "third.toml")
    assert run()["timeout"] == 1
    assert run(TRIZMQ_CONFIG="second.toml")["timeout"] == 2
    assert run("--config", "third.toml", TRIZMQ_CONFIG="second.toml")["timeout"] == 3


@pytest.mark.parametrize("value", ['"a, b"', '["a", "b"]'])
def test_lists_are_written_either_way(value: str) -> None:
    settings_file(f"plugins = {value}\nmodules = {value}\nconnect = {value}")
    options = run()
    assert (options["plugins"], options["modules"]) == (("a", "b"), ("a", "b"))
    assert options["connect"] == "a,b"


def test_lists_in_flags_and_environment() -> None:
    options = run("--plugins", "a,b", "-p", "x", "-p", "y.z")
    assert (options["plugins"], options["modules"]) == (("a", "b"), ("x", "y.z"))
    options = run(TRIZMQ_PLUGINS="a,b", TRIZMQ_MODULES="x,y.z")
    assert (options["plugins"], options["modules"]) == (("a", "b"), ("x", "y.z"))


def test_no_plugins_named_is_not_the_same_as_none_wanted() -> None:
    assert run()["plugins"] is None
    assert run("--plugins", "")["plugins"] == ()
    settings_file("plugins = []")
    assert run()["plugins"] == ()


def test_plugin_tables_are_passed_on() -> None:
    settings_file('[plugin.users]\nlimit = 3\n[plugin."a b"]')
    assert run()["tables"] == {"users": {"limit": 3}, "a b": {}}
    Path("trizmq.toml").unlink()
    assert run()["tables"] == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "bindd = 1",
            "trizmq.toml: unknown setting 'bindd'; known are access_log, backend, bind, ",
        ),
        ("capacity = true", "trizmq.toml: capacity must be an integer, not True"),
        ('capacity = "9"', "trizmq.toml: capacity must be an integer, not '9'"),
        ("bind = 5555", "trizmq.toml: bind must be a string or a list of strings, not 5555"),
        ("bind = [5555]", "bind must be a string or a list of strings, not with 5555 in it"),
        ("insecure = 1", "trizmq.toml: insecure must be true or false, not 1"),
        ("plugin = 1", "trizmq.toml: plugin must be tables, [plugin.NAME], not 1"),
        ("plugin.users = 1", "trizmq.toml: plugin.users must be a table, not 1"),
        ("bind", "trizmq.toml is not TOML: "),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(settings_file(text))
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_bytes_that_are_no_text() -> None:
    Path("trizmq.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_settings(Path("trizmq.toml"))


def test_a_file_that_is_named_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        read_settings(Path("none.toml"))


def test_every_kind_is_taken() -> None:
    text = "".join(f"{key} = {sample(kind.types[0])}\n" for key, kind in SETTINGS.items())
    assert set(read_settings(settings_file(text))) == {*SETTINGS, "plugin"}


def sample(kind: type) -> str:
    return {str: '"x"', int: "1", float: "1.5", bool: "true", dict: "{}"}[kind]


def test_a_broken_file_is_silent_while_a_shell_completes() -> None:
    settings_file("nonsense")
    context = command.make_context("command", [], resilient_parsing=True)
    assert context.default_map is None
