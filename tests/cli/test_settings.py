"""Settings: flag over TRIZMQ_* over trizmq.toml over default; an invalid one is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from trizmq.cli.options import chosen, flags
from trizmq.cli.toml import SettingsFile, plugin_tables
from trizmq.errors import ConfigError
from trizmq.settings import SETTINGS

SEEN: dict[str, Any] = {}


@click.command
@flags("plugins", "modules", "connect", "capacity", "insecure", "timeout", "config")
@click.pass_context
def command(ctx: click.Context, /) -> None:
    settings = chosen(ctx)
    SEEN.clear()
    SEEN.update({name: getattr(settings, name) for name in SETTINGS}, tables=plugin_tables(ctx))


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
def test_lists_in_the_file_are_strings_or_arrays(value: str) -> None:
    settings_file(f"plugins = {value}\nmodules = {value}\nconnect = {value}")
    options = run()
    assert (options["plugins"], options["modules"]) == (("a", "b"), ("a", "b"))
    assert options["connect"] == "a,b"


def test_lists_in_flags_and_environment() -> None:
    options = run("--plugins", "a,b", "-p", "x", "-p", "y.z")
    assert (options["plugins"], options["modules"]) == (("a", "b"), ("x", "y.z"))
    options = run(TRIZMQ_PLUGINS="a,b", TRIZMQ_MODULES="x,y.z")
    assert (options["plugins"], options["modules"]) == (("a", "b"), ("x", "y.z"))


def test_an_empty_list_of_plugins_differs_from_no_list() -> None:
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
            "trizmq.toml: unknown setting 'bindd' (did you mean bind?); known settings: plugins, ",
        ),
        ("other = 1", "trizmq.toml: unknown setting 'other'; known settings: plugins, "),
        ("capacity = true", "trizmq.toml: capacity must be an integer from 1 to 65536, not True"),
        ("capacity = 0", "trizmq.toml: capacity must be an integer from 1 to 65536, not 0"),
        ("capacity = 9.0", "trizmq.toml: capacity must be an integer from 1 to 65536, not 9.0"),
        ('capacity = "9"', "trizmq.toml: capacity must be an integer from 1 to 65536, not '9'"),
        ("grace = nan", "trizmq.toml: grace must be a number of seconds, 0 or more, not nan"),
        ("timeout = 0", "timeout must be a number of seconds, more than 0, not 0"),
        ("bind = 5555", "trizmq.toml: bind must be a string or a list of strings, not 5555"),
        ("bind = [5555]", "bind must be a string or a list of strings, not with 5555 in it"),
        ("plugins = [1]", "plugins must be a string or a list of strings, not with 1 in it"),
        ("token = 5", "trizmq.toml: token must be a string, not 5"),
        ("insecure = 1", "trizmq.toml: insecure must be true or false, not 1"),
        ('log_level = "loud"', "log_level must be one of debug, info, warning, error, not 'loud'"),
        ("plugin = 1", "trizmq.toml: plugin must be tables, [plugin.NAME], not 1"),
        ("plugin.users = 1", "trizmq.toml: plugin.users must be a table, not 1"),
    ],
)
def test_an_error_in_the_file_is_one_line(text: str, complaint: str) -> None:
    (mistake,) = SettingsFile(settings_file(text)).mistakes
    assert complaint in mistake
    assert "\n" not in mistake
    with pytest.raises(ConfigError) as caught:
        run()
    assert str(caught.value) == mistake


def test_a_file_that_is_not_toml_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^trizmq\.toml is not TOML: [^\n]+$"):
        SettingsFile(settings_file("bind"))


def test_a_file_that_is_not_text_is_one_line() -> None:
    Path("trizmq.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not TOML"):
        SettingsFile(Path("trizmq.toml"))


def test_a_named_file_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        SettingsFile(Path("none.toml"))


def test_the_file_can_hold_every_setting() -> None:
    text = "".join(f"{name} = {sample(name)}\n" for name in SETTINGS)
    file = SettingsFile(settings_file(text))
    assert file.mistakes == []
    assert set(file.values) == {*SETTINGS, "plugin"}


def sample(name: str) -> str:
    kind = SETTINGS[name].kind
    if isinstance(kind, tuple):
        return repr(kind[0])
    return {bool: "true", int: "1", float: "1.5", dict: "{}"}.get(kind, "'x'")


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("TRIZMQ_CAPACITY", "x", "must be an integer from 1 to 65536, not 'x'"),
        ("TRIZMQ_CAPACITY", "65537", "must be an integer from 1 to 65536, not 65537"),
        ("TRIZMQ_TIMEOUT", "nan", "must be a number of seconds, more than 0, not nan"),
        ("TRIZMQ_INSECURE", "maybe", "'maybe' is not a valid boolean"),
    ],
)
def test_an_error_in_a_variable_names_the_variable(
    variable: str, value: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(**{variable: value})
    assert str(caught.value).startswith(f"{variable}: {complaint}")


def test_an_error_in_a_flag_names_the_flag() -> None:
    result = CliRunner().invoke(command, ["--capacity", "0"])
    assert result.exit_code == 2
    expected = "Invalid value for '--capacity': must be an integer from 1 to 65536, not 0."
    assert expected in result.output


def test_more_than_an_hour_is_an_hour() -> None:
    assert run("--timeout", "inf")["timeout"] == 3600
    settings_file("timeout = 1e300")
    assert run()["timeout"] == 3600


def test_a_variable_that_is_almost_a_setting_is_reported() -> None:
    environment = {
        "TRIZMQ_CAPACTIY": "1",
        "TRIZMQ_LIMIT_WORKERS": "1",
        "TRIZMQ_PORT": "tcp://10.0.0.1:5555",  # from Kubernetes
        "TRIZMQ_SERVICE_HOST": "10.0.0.1",
        "TRIZMQ_CONFIG": "",
    }
    result = CliRunner(env=environment).invoke(command)
    assert result.exit_code == 0
    assert sorted(result.stderr.splitlines()) == [
        "trizmq: unknown variable TRIZMQ_CAPACTIY (did you mean TRIZMQ_CAPACITY?)",
        "trizmq: unknown variable TRIZMQ_LIMIT_WORKERS (did you mean TRIZMQ_LIMITS_WORKERS?)",
    ]
    supervised = {**environment, "TRIZMQ_SUPERVISED": "3"}  # set by its parent
    assert CliRunner(env=supervised).invoke(command).stderr == ""


def test_a_broken_file_is_ignored_during_shell_completion() -> None:
    settings_file("nonsense")
    context = command.make_context("command", [], resilient_parsing=True)
    assert context.default_map is None
