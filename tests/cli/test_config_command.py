"""`trizmq config`: the settings and their origins, and validation of a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trizmq.limits import LIMITS
from trizmq.settings import SETTINGS

if TYPE_CHECKING:
    from .conftest import CommandLine

FILE = """
plugins = ["users"]
threads = 3
grace = 4
insecure = true

[limits]
services = 9
workers = 8

[plugin.users]
database = "postgres://ada:hush@db"
"""


def shown(trizmq: CommandLine, *args: str) -> dict[str, tuple[object, str]]:
    result = trizmq("config", "show", "--json", *args)
    assert result.exit_code == 0, result.stderr
    return {row["setting"]: (row["value"], row["from"]) for row in json.loads(result.stdout)}


def test_every_setting_is_shown_with_its_value_and_its_origin(trizmq: CommandLine) -> None:
    (trizmq.directory / "trizmq.toml").write_text(FILE)
    trizmq.environment |= {"TRIZMQ_GRACE": "5", "TRIZMQ_LIMITS_WORKERS": "7"}
    trizmq.environment |= {"TRIZMQ_LIMITS": "liveness=4"}
    rows = shown(trizmq, "--capacity", "6", "--limit", "client-calls=2", "-p", "json")
    names = {*SETTINGS, *(f"limits.{name}" for name in LIMITS), "plugin.users"} - {"limits"}
    assert rows.keys() == names
    file = "file trizmq.toml"
    assert rows["plugins"] == (["users"], file)
    assert rows["modules"] == (["json"], "flag --module")
    assert rows["threads"] == (3, file)
    assert rows["insecure"] == (True, file)
    assert rows["grace"] == (5, "variable TRIZMQ_GRACE")
    assert rows["capacity"] == (6, "flag --capacity")
    assert rows["backend"] == (None, "default")
    assert rows["limits.services"] == (9, file)
    assert rows["limits.workers"] == (7, "variable TRIZMQ_LIMITS_WORKERS")
    assert rows["limits.liveness"] == (4, "variable TRIZMQ_LIMITS")
    assert rows["limits.client_calls"] == (2, "flag --limit")
    assert rows["limits.body_bytes"] == (16 * 1024 * 1024, "default")


def test_another_file_can_be_named(trizmq: CommandLine) -> None:
    (trizmq.directory / "other.toml").write_text("threads = 5")
    assert shown(trizmq, "--config", "other.toml")["threads"] == (5, "file other.toml")
    trizmq.environment["TRIZMQ_CONFIG"] = "other.toml"
    assert shown(trizmq)["threads"] == (5, "file other.toml")


def test_the_output_for_people_is_a_table(trizmq: CommandLine) -> None:
    lines = trizmq("config", "show", "--insecure").stdout.splitlines()
    rows = [line.split(maxsplit=1) for line in lines]
    assert lines[0].split() == ["SETTING", "VALUE", "FROM"]
    assert [name for name, _ in rows[1:]] == [
        *(name for name in SETTINGS if name != "limits"),
        *(f"limits.{name}" for name in LIMITS),
    ]
    said = {name: rest.split() for name, rest in rows}
    assert said["insecure"] == ["true", "flag", "--insecure"]
    assert said["access_log"] == ["false", "default"]
    assert said["plugins"] == ["(all)", "default"]
    assert said["workers"] == ["0", "default"]


def test_no_secret_is_printed(trizmq: CommandLine) -> None:
    (trizmq.directory / "trizmq.toml").write_text(FILE + '[plugin.other]\nkey = "hush"')
    trizmq.environment["TRIZMQ_TOKEN"] = "hush"
    for args in ((), ("--json",), ("--token", "hush")):
        result = trizmq("config", "show", *args)
        assert result.exit_code == 0
        assert "hush" not in result.output
    assert shown(trizmq)["token"] == ("(set)", "variable TRIZMQ_TOKEN")
    assert shown(trizmq)["plugin.users"] == (["database"], "file trizmq.toml")


def test_a_valid_file_passes(trizmq: CommandLine) -> None:
    (trizmq.directory / "trizmq.toml").write_text("threads = 3\n[limits]\nservices = 9")
    for args in ((), ("trizmq.toml",)):
        result = trizmq("config", "check", *args)
        assert (result.exit_code, result.output) == (0, "")


def test_every_error_is_a_line_with_file_and_key(trizmq: CommandLine) -> None:
    text = "bindd = 1\ncapacity = 0\ngrace = 'x'\n[limits]\nbody_bytes = 1\nservcies = 2\n"
    (trizmq.directory / "other.toml").write_text(text + "[plugin]\nusers = 3\nauth = 4")
    result = trizmq("config", "check", "other.toml")
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    keys = ("bindd", "capacity", "grace", "body_bytes", "servcies", "plugin.users", "plugin.auth")
    assert len(lines) == len(keys)
    for line, key in zip(lines, keys, strict=True):
        assert line.startswith("trizmq: other.toml: ")
        assert key in line


def test_the_tables_of_plugins_are_checked_by_the_plugins(trizmq: CommandLine) -> None:
    trizmq.module("shop", "import trizmq\n")
    (trizmq.directory / "trizmq.toml").write_text('plugins = []\nmodules = "shop"\n[plugin.shop]')
    result = trizmq("config", "check")
    assert result.exit_code == 2
    assert result.stderr.startswith("trizmq: trizmq.toml: ")
    assert "shop" in result.stderr
    (trizmq.directory / "trizmq.toml").write_text('plugins = ["none-such"]\n[plugin.none-such]')
    result = trizmq("config", "check")
    assert result.exit_code == 2
    assert "none-such" in result.stderr


def test_a_file_that_is_missing_or_not_toml_is_one_line(trizmq: CommandLine) -> None:
    result = trizmq("config", "check")
    assert result.exit_code == 2
    assert result.stderr == "trizmq: trizmq.toml: No such file or directory\n"
    (trizmq.directory / "trizmq.toml").write_text("bind")
    result = trizmq("config", "check")
    assert result.exit_code == 2
    assert result.stderr.startswith("trizmq: trizmq.toml is not TOML: ")
