"""`trizmq run`: one ready line, the log on stderr, a drain on a signal, and exit codes."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import CommandLine

SLOW = """
import trio, trizmq

routes = trizmq.Router("/slow")

@routes.get("/{seconds:float}")
async def sleep(seconds: float) -> str:
    print("running", flush=True)
    await trio.sleep(seconds)
    return "slept"

@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes
"""

BROKEN = """
from contextlib import asynccontextmanager
import trizmq

@trizmq.hookimpl
@asynccontextmanager
async def trizmq_lifespan():
    raise RuntimeError("no database")
    yield
"""


def test_only_the_ready_line_is_on_stdout(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "users,auth") as server:
        assert server.ready.startswith("trizmq ready on tcp://")
        assert server.endpoint.rpartition(":")[2].isdigit()
        assert trizmq("call", "GET", "/users").exit_code == 0
        assert server.stop() == 0
        assert server.process.stdout
        assert server.process.stdout.read() == b""
        assert "admin-token" in server.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_exit_code_is_0(trizmq: CommandLine, number: int) -> None:
    with trizmq.serving("--plugins", "users") as server:
        server.process.send_signal(number)
        assert server.process.wait(10) == 0


def test_running_calls_finish(trizmq: CommandLine) -> None:
    trizmq.module("slow", SLOW)
    with trizmq.serving("--plugins", "", "-p", "slow") as server:
        assert server.process.stdout
        with trizmq.start("call", "GET", "/slow/0.3") as caller:
            assert server.process.stdout.readline() == b"running\n"
            assert server.stop() == 0
            assert caller.communicate(timeout=10)[0] == b'"slept"'


def test_log_lines_are_json_without_a_terminal(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "users", "--access-log", "--log-level", "error") as server:
        trizmq("call", "GET", "/users/1", "-H", "x-request-id: r1")
        server.stop()
        (line,) = map(json.loads, server.log.read_text().splitlines())
    assert line["logger"] == "trizmq.access"
    assert (line["request_id"], line["method"]) == ("r1", "GET")
    assert (line["route"], line["status"]) == ("/users/{user_id:int}", 200)
    assert line["duration_ms"] > 0


def test_settings_come_from_the_file_too(trizmq: CommandLine) -> None:
    (trizmq.directory / "trizmq.toml").write_text('plugins = ["users"]\naccess_log = true\n')
    with trizmq.serving() as server:
        trizmq("call", "GET", "/users")
        assert trizmq("call", "GET", "/auth/whoami").exit_code == 4
        server.stop()
        assert "trizmq.access" in server.log.read_text()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--plugins", "nope"], "trizmq: no plugin 'nope' is installed; installed plugins: "),
        (["-p", "nope"], "trizmq: plugin 'nope' is broken: module 'nope': ModuleNotFoundError"),
        (["--plugins", "users", "--bind", "tcp://0.0.0.0:*"], "--insecure"),
        (["--plugins", "users", "--bind", "nonsense"], "trizmq: "),
        (["--bind", "127.0.0.1:5555"], "as in tcp://127.0.0.1:5555\n"),
        (["--bind", "tcp://::1:5555"], "as in tcp://[::1]:5555\n"),
        (["--bind", "tcp://127.0.0.1:*,"], "is there an extra comma?\n"),
        (["--bind", "ipc://notes.txt"], "the path exists already and is not a socket"),
        (["--config", "none.toml"], "trizmq: none.toml: No such file or directory"),
        (["--capacity", "0"], "Invalid value for '--capacity'"),
        (["--log-level", "loud"], "Invalid value for '--log-level'"),
        (["--nonsense"], "No such option"),
    ],
)
def test_user_errors_are_one_line_and_exit_code_2(
    trizmq: CommandLine, args: list[str], complaint: str
) -> None:
    notes = trizmq.directory / "notes.txt"
    notes.write_text("mine")
    result = trizmq.process("run", *args)
    said = result.stderr.decode()
    assert result.returncode == 2, said
    assert notes.read_text() == "mine"
    assert complaint in said
    assert "Traceback" not in said
    assert result.stdout == b""
    if said.startswith("trizmq:"):
        assert said.count("\n") == 1


def test_an_address_in_use_is_an_error_of_the_user(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "users") as server:
        result = trizmq.process("run", "--plugins", "users", "--bind", server.endpoint)
        assert result.returncode == 2
        (line,) = result.stderr.decode().splitlines()
        assert line.startswith("trizmq: ")
        assert "in use" in line


def test_an_unexpected_exception_is_logged_and_the_exit_code_is_1(trizmq: CommandLine) -> None:
    trizmq.module("broken", BROKEN)
    result = trizmq.process("run", "--plugins", "", "-p", "broken", "--bind", "tcp://127.0.0.1:*")
    assert result.returncode == 1
    line = json.loads(result.stderr)
    assert line["level"] == "critical"
    assert "RuntimeError: no database" in line["traceback"]
