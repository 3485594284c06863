"""Limits on the command line: flag over TRIZMQ_LIMITS_* over trizmq.toml over default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from trizmq.cli.options import chosen, flags
from trizmq.cli.run import run as run_command
from trizmq.cli.worker import worker_command
from trizmq.errors import ConfigError
from trizmq.settings import settings_of

MIB = 1024 * 1024

SEEN: dict[str, Any] = {}


@click.command
@flags("limits", "config")
@click.pass_context
def command(ctx: click.Context, /) -> None:
    SEEN.clear()
    SEEN.update(chosen(ctx).limits)


def invoke(*args: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(command, args, catch_exceptions=False)


def run(*args: str, **environment: str) -> dict[str, Any]:
    result = invoke(*args, **environment)
    assert result.exit_code == 0, result.output
    return SEEN


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_flag_over_variables_over_file_for_each_limit() -> None:
    assert run() == {}
    Path("trizmq.toml").write_text('[limits]\nbody_bytes = "1 MiB"\nclient_calls = 1\nservices = 9')
    assert run() == {"body_bytes": MIB, "client_calls": 1, "services": 9}
    environment = {"TRIZMQ_LIMITS_CLIENT_CALLS": "2", "TRIZMQ_LIMITS_BODY_BYTES": "2MiB"}
    assert run(**environment) == {"body_bytes": 2 * MIB, "client_calls": 2, "services": 9}
    environment["TRIZMQ_LIMITS"] = "client_calls=3"
    assert run("--limit", "body_bytes=3MiB", **environment) == {
        "body_bytes": 3 * MIB,
        "client_calls": 3,
        "services": 9,
    }
    assert run("--limit", "services=9", TRIZMQ_LIMITS_SERVICES="8")["services"] == 9


def test_one_variable_can_set_several() -> None:
    environment = {"TRIZMQ_LIMITS": "body_bytes=2MiB client_calls=7"}
    assert run(**environment) == {"body_bytes": 2 * MIB, "client_calls": 7}


@pytest.mark.parametrize("wrong", ["body_bytes=1", "what=1", "liveness=x", "wait=1"])
def test_an_error_names_the_limit_and_where_it_is_set(wrong: str) -> None:
    name, _, value = wrong.partition("=")
    with pytest.raises(ConfigError, match=f"^--limit .*{name}"):
        invoke("--limit", wrong)
    variable = f"TRIZMQ_LIMITS_{name.upper()}"
    with pytest.raises(ConfigError, match=f"^{variable}: .*{name}"):
        invoke(**{variable: value})
    with pytest.raises(ConfigError, match=f"^TRIZMQ_LIMITS: .*{name}"):
        invoke(TRIZMQ_LIMITS=wrong)
    Path("trizmq.toml").write_text(f'[limits]\n{name} = "{value}"')
    with pytest.raises(ConfigError, match=rf"^trizmq.toml: .*{name}"):
        invoke()


def test_a_limit_without_a_value_is_wrong_usage() -> None:
    result = invoke("--limit", "body_bytes")
    assert result.exit_code == 2
    assert "NAME=VALUE" in result.output
    with pytest.raises(ConfigError, match=r"^TRIZMQ_LIMITS: must be NAME=VALUE, not 'body_bytes'"):
        invoke(TRIZMQ_LIMITS="body_bytes")


def test_limits_must_be_a_table() -> None:
    Path("trizmq.toml").write_text("limits = 3")
    with pytest.raises(ConfigError, match="limits must be a table"):
        invoke()


def test_help_lists_the_important_ones() -> None:
    said = CliRunner().invoke(run_command, ["--help"]).output
    for name in ["body_bytes", "client_calls", "service_calls", "mdp_silence", "heartbeat"]:
        assert name in said


def test_children_have_the_limits_of_their_parent() -> None:
    command = worker_command(settings_of({"limits": {"body_bytes": "2MiB"}}), None)
    assert command[command.index("--limit") + 1] == "body_bytes=2097152"
