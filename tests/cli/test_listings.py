"""`routes`, `plugins`, `services`: tables for people, and the same as JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from trizmq.cli.output import table

if TYPE_CHECKING:
    from .conftest import CommandLine, Installer


def test_a_table_is_aligned_and_has_no_empty_cells() -> None:
    rows: list[dict[str, object]] = [
        {"name": "a", "ok": True, "list": ["x", "y"], "count": 0},
        {"name": "long name", "ok": False, "list": [], "count": 12, "ignored": 1},
        {"name": None, "list": ""},
    ]
    assert table(("name", "ok", "list", "count"), rows).splitlines() == [
        "NAME       OK   LIST  COUNT",
        "a          yes  x,y   0",
        "long name  -    -     12",
        "-          -    -     -",
    ]


def test_an_empty_table_has_a_header() -> None:
    assert table(("a", "b"), []) == "A  B"


def test_routes_are_listed(trizmq: CommandLine) -> None:
    shown = trizmq("routes", "--plugins", "users").stdout
    assert "GET      /users/{user_id:int}  users" in shown
    assert "Get one user." in shown
    rows = json.loads(trizmq("routes", "--plugins", "users,auth", "--json").stdout)
    assert rows[-1] == {
        "methods": ["GET"],
        "pattern": "/auth/whoami",
        "plugin": "auth",
        "public": False,
        "scopes": [],
        "summary": "Return the principal and the scopes of the token.",
    }


def test_routes_of_a_missing_plugin_are_an_error(trizmq: CommandLine) -> None:
    result = trizmq("routes", "--plugins", "nope")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("trizmq: no plugin 'nope'")


def test_routes_validate_the_settings(trizmq: CommandLine) -> None:
    (trizmq.directory / "trizmq.toml").write_text("[plugin.users]\nnone = 1")
    result = trizmq("routes", "--plugins", "users")
    assert result.exit_code == 2
    assert "plugin.users" in result.stderr


def test_plugins_are_listed(trizmq: CommandLine) -> None:
    rows = {row["name"]: row for row in json.loads(trizmq("plugins", "--json").stdout)}
    assert rows["users"]["distribution"] == "trizmq-users"
    assert (rows["auth"]["status"], rows["auth"]["reason"]) == ("ok", None)
    assert "trizmq-auth" in trizmq("plugins").stdout


def test_failed_plugins_are_listed_with_the_reason(trizmq: CommandLine, install: Installer) -> None:
    install("broken", "1/0")
    result = trizmq("plugins", "--json")
    assert result.exit_code == 0
    row = next(row for row in json.loads(result.stdout) if row["name"] == "broken")
    assert (row["status"], row["version"]) == ("failed", "1.0")
    assert "ZeroDivisionError" in row["reason"]


def test_services_of_a_running_broker_are_listed(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "users,auth"):
        rows = json.loads(trizmq("services", "--json").stdout)
        assert {"name": "users", "workers": 1, "queued": 0, "in_flight": 0} in rows
        shown = trizmq("services").stdout.splitlines()
    assert shown[0].split() == ["NAME", "WORKERS", "QUEUED", "IN_FLIGHT"]
    assert "users" in {line.split()[0] for line in shown}


def test_services_without_a_server_are_exit_code_3(trizmq: CommandLine) -> None:
    result = trizmq("services", "--connect", f"ipc://{trizmq.directory}/none", "--timeout", "0.1")
    assert (result.exit_code, result.stdout) == (3, "")
