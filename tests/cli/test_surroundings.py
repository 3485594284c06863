"""Commands in unusual environments: each works, or ends with one line and an exit code."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import CommandLine

HELLO = """
import trizmq

routes = trizmq.Router("/hello")

@routes.get("")
async def hello() -> str:
    print("said hello", flush=True)
    return "hello"

@trizmq.hookimpl
def trizmq_register_routes():
    return routes
"""


def shell(
    trizmq: CommandLine, line: str, **environment: str | None
) -> subprocess.CompletedProcess[bytes]:
    """Run ``line`` in a shell, in which ``trizmq`` is the command."""
    variables = {**trizmq._environment, **environment}
    command = f"{shlex.quote(sys.executable)} -P -m trizmq"
    return subprocess.run(
        ["sh", "-c", line.replace("trizmq ", f"{command} ")],
        capture_output=True,
        check=False,
        cwd=trizmq.directory,
        env={name: value for name, value in variables.items() if value is not None},
        timeout=30,
    )


def only_line(result: subprocess.CompletedProcess[bytes]) -> str:
    said = result.stderr.decode()
    assert "Traceback" not in said
    lines = said.splitlines()
    assert len(lines) == 1, said
    return lines[0]


# -- streams -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    ["--version", "--help", "plugins", "routes --plugins users", "token new --principal ada"],
)
@pytest.mark.parametrize(
    ("to", "why"), [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")]
)
def test_output_that_cannot_be_written_is_an_error(
    trizmq: CommandLine, args: str, to: str, why: str
) -> None:
    result = shell(trizmq, f"trizmq {args} {to}")
    assert result.returncode == 1
    assert only_line(result) == f"trizmq: standard output: {why}"


def test_a_token_that_could_not_be_printed_is_revoked(trizmq: CommandLine) -> None:
    assert shell(trizmq, "trizmq token new --principal ada >/dev/full").returncode == 1
    assert b"ada" not in shell(trizmq, "trizmq token list").stdout


@pytest.mark.parametrize("to", ["2>/dev/full", "2>&-"])
def test_the_exit_code_is_right_without_output_streams(trizmq: CommandLine, to: str) -> None:
    nobody = f"ipc://{trizmq.directory}/nobody"
    call = f"trizmq call GET /x --timeout 0.2 --connect {nobody} {to}"
    assert shell(trizmq, call).returncode == 3
    assert shell(trizmq, f"trizmq run --bind nonsense {to}").returncode == 2
    assert shell(trizmq, f"trizmq run --nonsense {to}").returncode == 2
    assert shell(trizmq, f"trizmq --version {to}").returncode == 0


@pytest.mark.parametrize(
    "streams", [">&- 2>&- <&-", ">/dev/full", "2>/dev/full", "</dev/null >&-", ">&- --workers 1"]
)
def test_a_server_serves_with_any_streams(trizmq: CommandLine, streams: str) -> None:
    trizmq.module("hello", HELLO)
    endpoint = f"ipc://{trizmq.directory}/front"
    line = f"exec trizmq run --plugins '' -p hello --bind {endpoint} {streams}"
    command = f"{shlex.quote(sys.executable)} -m trizmq"
    with subprocess.Popen(
        ["sh", "-c", line.replace("trizmq ", f"{command} ", 1)],
        cwd=trizmq.directory,
        env=trizmq._environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            call = trizmq("call", "GET", "/hello", "--timeout", "15", "--connect", endpoint)
            full = ">/dev/full" in streams and "2>" not in streams
            assert call.exit_code == (5 if full else 0)  # its `print` failed there
            server.send_signal(signal.SIGTERM)
            assert server.wait(10) == 0
        finally:
            server.kill()


# -- directories -------------------------------------------------------------------------


@pytest.mark.usefixtures("unmeasured")
def test_without_a_home_directory_the_error_explains_the_options(trizmq: CommandLine) -> None:
    # A user id without an entry in the user database has no home directory either.
    unknown = "setpriv --reuid 54321 --clear-groups "
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can change the user id")
    readable = subprocess.run(
        ["setpriv", "--reuid", "54321", "--clear-groups", sys.executable, "-c", "import trizmq"],
        capture_output=True,
        check=False,
    )
    if readable.returncode:
        pytest.skip("other users cannot read this installation")
    result = shell(trizmq, f"{unknown}trizmq token list", HOME=None, TRIZMQ_STATE_DIR=None)
    assert result.returncode == 2
    assert "set it with --state-dir or TRIZMQ_STATE_DIR" in only_line(result)


def test_a_home_that_cannot_be_found_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from trizmq import ConfigError, state_dir

    with pytest.raises(ConfigError, match=r"has no home directory: set it with --state-dir"):
        state_dir(Path("~no-such-user/state"))


@pytest.mark.parametrize("args", ["token list", "plugins", "routes -p json", "token new --help"])
def test_commands_work_in_a_deleted_directory(trizmq: CommandLine, args: str) -> None:
    result = shell(trizmq, f"mkdir gone; cd gone; rmdir ../gone; trizmq {args}")
    assert b"Traceback" not in result.stderr
    assert result.returncode == (0 if "json" not in args else 2)


@pytest.mark.parametrize("workers", ["", "--workers 1"])
def test_a_server_works_in_a_deleted_directory(trizmq: CommandLine, workers: str) -> None:
    bind = "--bind 'tcp://127.0.0.1:*'"
    run = f"timeout -s TERM 6 trizmq run --plugins users {workers} {bind}"
    result = shell(trizmq, f"mkdir gone; cd gone; rmdir ../gone; {run}")
    assert b"Traceback" not in result.stderr
    assert result.stdout.startswith(b"trizmq ready on ")


@pytest.mark.parametrize("args", ["token new --principal x", "run --plugins auth"])
def test_an_unwritable_state_directory_is_one_line(trizmq: CommandLine, args: str) -> None:
    result = shell(trizmq, f"trizmq {args}", TRIZMQ_STATE_DIR="/proc/trizmq")
    assert result.returncode == 2
    assert "cannot create the state directory /proc/trizmq" in only_line(result)


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("args", ["token new --principal x", "run --plugins auth"])
def test_an_unwritable_store_is_one_line(trizmq: CommandLine, args: str) -> None:
    (trizmq.directory / "state").mkdir(mode=0o700)
    result = shell(trizmq, f"ulimit -f 0; trizmq {args}")
    assert result.returncode == (1 if "token" in args else 2)
    assert "File too large" in only_line(result)
    assert {path.name for path in (trizmq.directory / "state").iterdir()} == {"tokens.lock"}


def test_a_temporary_directory_may_have_a_long_path(trizmq: CommandLine) -> None:
    long = trizmq.directory / ("x" * 100)
    long.mkdir()
    trizmq.environment["TMPDIR"] = str(long)
    with trizmq.serving("--plugins", "users", "--workers", "1") as server:
        assert trizmq("call", "GET", "/users", "--timeout", "10").exit_code == 0
        assert server.stop() == 0


# -- the settings file ---------------------------------------------------------------------


def test_a_byte_order_mark_is_ignored(trizmq: CommandLine) -> None:
    (trizmq.directory / "trizmq.toml").write_bytes(b'\xef\xbb\xbfplugins = ["users"]\n')
    result = trizmq.process("routes")
    assert result.returncode == 0
    assert b"/users" in result.stdout
    assert b"/auth" not in result.stdout


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_another_encoding_is_one_line(trizmq: CommandLine, encoding: str) -> None:
    (trizmq.directory / "trizmq.toml").write_bytes('plugins = "\xe9"\n'.encode(encoding))
    result = trizmq.process("routes")
    assert result.returncode == 2
    assert only_line(result).startswith("trizmq: trizmq.toml is not ")
