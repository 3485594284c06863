"""`trizmq call`: the body to stdout, the rest to stderr, and a result as exit code."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from trizmq.cli.call import find_token
from trizmq.cli.output import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import CommandLine

ECHO = """
import sys, trio, trizmq

routes = trizmq.Router("/echo")

@routes.post("")
async def echo(body: bytes, request: trizmq.Request) -> trizmq.Response:
    return trizmq.Response(200, trizmq.Headers({"content-type": "text/x", **request.headers}), body)

@routes.get("/{status:int}")
async def answer(status: int) -> trizmq.Response:
    return trizmq.Response(status)

@routes.get("/json")
async def json() -> str:
    return "json"

@routes.get("/parts")
async def parts(fails: bool = False):
    for number in range(3):
        yield number
        await trio.sleep(0.05)
    if fails:
        raise trizmq.HTTPError(409, "later")

@routes.get("/endless")
async def endless():
    while True:
        yield b"tick\\n"
        await trio.sleep(0.05)

@routes.any("/never")
async def never() -> str:
    print("never", file=sys.stderr, flush=True)
    await trio.sleep_forever()

@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes
"""


@pytest.fixture
def echo(trizmq: CommandLine) -> Iterator[CommandLine]:
    """A command line with a service that echoes calls."""
    trizmq.module("echo", ECHO)
    with trizmq.serving("-p", "echo"):
        yield trizmq


def test_the_body_is_printed_unchanged(echo: CommandLine) -> None:
    (echo.directory / "data").write_bytes(b"\x00\xff\n")
    for data, stdin, body in (
        ("text", b"", b"text"),
        ("@data", b"", b"\x00\xff\n"),
        ("-", b"from stdin", b"from stdin"),
    ):
        result = echo("call", "post", "/echo", "-d", data, stdin=stdin)
        assert (result.exit_code, result.stdout_bytes, result.stderr_bytes) == (0, body, b"")


def test_headers_are_sent_and_include_prints_those_of_the_response(echo: CommandLine) -> None:
    result = echo("call", "POST", "/echo", "-H", "X-One: 1", "-H", "x-two:2:2", "-i", "-d", "x")
    assert result.stdout == "x"
    lines = result.stderr.splitlines()
    assert lines[0] == "200 OK"
    assert {"content-type: text/x", "x-one: 1", "x-two: 2:2"} <= set(lines)


@pytest.mark.parametrize("dialect", ["native", "plain"])
def test_a_timeout_may_have_any_length(echo: CommandLine, dialect: str) -> None:
    for seconds in ("inf", "1e300", "3601"):
        result = echo("call", "POST", "/echo", "--timeout", seconds, "--dialect", dialect)
        assert (result.exit_code, result.stderr) == (0, "")
    for seconds in ("nan", "0", "-1", "-inf", "x"):
        result = echo("call", "POST", "/echo", "--timeout", seconds, "--dialect", dialect)
        assert result.exit_code == 2
        assert "Error: Invalid value for '--timeout'" in result.stderr
    assert echo("bench", "--duration", "nan").exit_code == 2


def test_headers_of_one_name_are_joined(echo: CommandLine) -> None:
    result = echo("call", "POST", "/echo", "-H", "a:1", "-H", "A: 2", "-H", "b:3", "-i")
    assert {"a: 1, 2", "b: 3"} <= set(result.stderr.splitlines())


@pytest.mark.parametrize("dialect", ["native", "plain", "mdp01", "mdp02", "majortomo", "packed"])
def test_an_invalid_call_is_one_line_of_error(echo: CommandLine, dialect: str) -> None:
    (echo.directory / "large").write_bytes(bytes(17 * 1024 * 1024))
    large = echo("call", "POST", "/echo", "-d", "@large", "--dialect", dialect)
    assert (large.exit_code, large.stderr.count("\n")) == (4, 1)
    assert large.stderr.startswith("trizmq: 413 ")
    for words in (("/echo", "-H", "a: \udcff"), ("/echo\udcff",), ("/echo", "--token", "a\udcff")):
        result = echo("call", "POST", *words, "--dialect", dialect)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, 0), (204, 0), (302, 0), (400, 4), (404, 4), (499, 4), (500, 5), (503, 5), (504, 124)],
)
def test_the_status_becomes_the_exit_code(status: int, code: int) -> None:
    assert Exit.of_status(status) == code


def test_an_error_is_a_problem_on_stdout_and_a_line_on_stderr(echo: CommandLine) -> None:
    result = echo("call", "GET", "/nowhere")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["status"] == 404
    (line,) = result.stderr.splitlines()
    assert line.startswith("trizmq: 404 Not Found")


def test_a_deadline_that_passes_is_exit_code_124(echo: CommandLine) -> None:
    result = echo("call", "GET", "/echo/never", "--timeout", "0.2")
    assert result.exit_code == 124
    assert result.stderr.startswith("trizmq: ")


@pytest.mark.slow
def test_a_broker_that_is_lost_is_exit_code_3(trizmq: CommandLine) -> None:
    trizmq.module("echo", ECHO)
    with trizmq.serving("--plugins", "", "-p", "echo") as server:
        killer = threading.Timer(0.5, server.process.kill)
        killer.start()
        result = trizmq("call", "POST", "/echo/never", "--timeout", "10")
        killer.join()
    assert result.exit_code == 3
    assert result.stderr.startswith("trizmq: ")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let children receive SIGINT even if the tests run in the background: shells ignore it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_call_without_a_traceback(echo: CommandLine) -> None:
    with echo.start("call", "GET", "/echo/never") as caller:
        while b"never" not in echo.log():
            time.sleep(0.01)
        caller.send_signal(signal.SIGINT)
        _, said = caller.communicate(timeout=10)
    assert caller.returncode == 1
    assert b"Traceback" not in said
    assert b"Aborted!" in said


def test_json_on_a_terminal_ends_its_line(echo: CommandLine) -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "wb") as terminal, os.fdopen(master, "rb", buffering=0) as screen:
        with echo.start("call", "GET", "/echo/json", stdout=terminal) as caller:
            assert caller.wait(10) == 0
        assert screen.read(100) == b'"json"\r\n'


def test_without_a_server_the_exit_code_is_3(trizmq: CommandLine) -> None:
    began = time.monotonic()
    endpoint = f"ipc://{trizmq.directory}/nobody"
    result = trizmq("call", "GET", "/users", "--timeout", "0.2", "--connect", endpoint)
    assert result.exit_code == 3
    assert result.stderr.startswith("trizmq: no answer: ipc://")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "args",
    [
        ["GET"],
        ["GET", "users"],
        ["GET", "/users", "-H", "nocolon"],
        ["GET", "/users", "-H", ": value"],
        ["GET", "/users", "-d", "@nofile"],
        ["GET", "/users", "--timeout", "0"],
        ["GET", "/users", "--connect", "nonsense"],
    ],
)
def test_invalid_arguments_are_exit_code_2(trizmq: CommandLine, args: list[str]) -> None:
    result = trizmq("call", "--timeout", "1", *args)
    assert result.exit_code == 2, result.stderr
    assert "Traceback" not in result.stderr


def test_the_token_comes_from_flag_environment_or_admin_token(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "auth"):
        tokens = {
            name: trizmq("token", "new", "--principal", name).stdout.strip()
            for name in ("flag", "environment")
        }

        def whoami(*args: str) -> str:
            principal = json.loads(trizmq("call", "GET", "/auth/whoami", *args).stdout)["principal"]
            assert isinstance(principal, str)
            return principal

        assert whoami() == "admin"
        trizmq.environment["TRIZMQ_TOKEN"] = tokens["environment"]
        assert whoami() == "environment"
        assert whoami("--token", tokens["flag"]) == "flag"
        assert trizmq("token", "revoke", tokens["flag"].partition(".")[0]).exit_code == 0
        assert trizmq("call", "GET", "/auth/whoami", "--token", tokens["flag"]).exit_code == 4


@pytest.mark.parametrize("dialect", ["mdp01", "mdp02", "majortomo", "packed", "plain", "native"])
def test_any_dialect_can_be_used(trizmq: CommandLine, dialect: str) -> None:
    trizmq.module("echo", ECHO)
    call = ["call", "--dialect", dialect]
    with trizmq.serving("--plugins", "", "-p", "echo"):
        result = trizmq(*call, "POST", "/echo", "-d", "text")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "text", "")
        result = trizmq(*call, "GET", "/nowhere")
        assert result.exit_code == 4
        assert json.loads(result.stdout)["status"] == 404
        assert trizmq(*call, "GET", "/echo/json").stdout == '"json"'


@pytest.mark.parametrize("dialect", ["mdp01", "plain"])
def test_a_foreign_broker_that_is_absent_is_exit_code_3(trizmq: CommandLine, dialect: str) -> None:
    endpoint = f"ipc://{trizmq.directory}/nobody"
    result = trizmq(
        "call", "--dialect", dialect, "GET", "/users", "--timeout", "0.2", "--connect", endpoint
    )
    assert result.exit_code == 3
    assert result.stderr == f"trizmq: no server is at {endpoint}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["--dialect", "http", "GET", "/users"],
        ["--dialect", "mdp01", "GET", "/users", "--connect", "ipc://a,ipc://b"],
        ["--dialect", "mdp01", "GET", "/users users"],
        ["GET", "/users\n"],
    ],
)
def test_a_call_that_the_dialect_cannot_express_is_exit_code_2(
    trizmq: CommandLine, args: list[str]
) -> None:
    result = trizmq("call", *args)
    assert result.exit_code == 2, result.stderr
    assert "Traceback" not in result.stderr


def test_a_given_token_is_sent_in_any_dialect(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "auth"):
        token = trizmq("token", "new", "--principal", "ada").stdout.strip()
        whoami = ["GET", "/auth/whoami"]
        for dialect in ("mdp02", "plain"):
            result = trizmq("call", "--dialect", dialect, "--token", token, *whoami)
            assert json.loads(result.stdout)["principal"] == "ada"
        # The admin token is sent only where it cannot become part of a service's name.
        assert trizmq("call", "--dialect", "plain", *whoami).exit_code == 0
        assert trizmq("call", "--dialect", "mdp02", *whoami).exit_code == 4


LOCAL = [
    "tcp://127.0.0.1:5555",
    "tcp://127.3.2.1:5555",
    "tcp://localhost:5555",
    "tcp://[::1]:5555",
    "tcp://[::ffff:127.0.0.1]:5555",
    "ipc:///run/trizmq",
    "tcp://127.0.0.1:1, tcp://127.0.0.1:2",
]
ELSEWHERE = [
    "tcp://192.0.2.1:5555",
    "tcp://example.org:5555",
    "tcp://localhost.example.org:5555",
    "tcp://127.0.0.1:0;192.0.2.1:5555",
    "tcp://127.0.0.1:1,tcp://192.0.2.1:2",
    "nonsense",
]


@pytest.mark.parametrize(
    ("endpoint", "found"), [*((e, "secret") for e in LOCAL), *((e, None) for e in ELSEWHERE)]
)
def test_the_admin_token_stays_on_this_machine(
    tmp_path: Path, endpoint: str, found: str | None
) -> None:
    (tmp_path / "admin-token").write_text("secret\n")
    assert find_token(endpoint, tmp_path) == found


def test_a_missing_admin_token_is_no_error(tmp_path: Path) -> None:
    assert find_token(LOCAL[0], tmp_path) is None
    (tmp_path / "file").touch()
    assert find_token(LOCAL[0], tmp_path / "file") is None
    (tmp_path / "admin-token").write_bytes(b"\xff")
    assert find_token(LOCAL[0], tmp_path) is None


def test_the_command_loads_no_module_of_the_broker_or_the_worker(echo: CommandLine) -> None:
    echo.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    for args in (["--help"], ["get", "/echo/json"], ["--dialect", "plain", "get", "/echo/json"]):
        result = echo.process("call", *args)
        assert result.returncode == 0
        lines = result.stderr.decode().splitlines()
        rooms = {".".join(line.rpartition("|")[2].strip().split(".")[:2]) for line in lines}
        assert "trizmq.client" in rooms
        assert not {"trizmq.broker", "trizmq.worker", "trizmq.processes"} & rooms


def test_a_stream_is_printed_part_by_part(echo: CommandLine) -> None:
    result = echo("call", "GET", "/echo/parts", "--stream", "-i", "--timeout", "5")
    assert (result.exit_code, result.stdout) == (0, "0\n1\n2\n")
    assert result.stderr == "200 OK\ncontent-type: application/x-ndjson\n"
    process = echo.start("call", "GET", "/echo/endless", "--stream", "--timeout", "1")
    assert process.stdout is not None
    for _ in range(30):  # it goes on after the timeout, which is for the head
        assert process.stdout.readline() == b"tick\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def test_the_end_of_a_stream_decides_the_exit_code(echo: CommandLine) -> None:
    result = echo("call", "GET", "/echo/parts?fails=true", "--stream")
    assert (result.exit_code, result.stdout) == (4, "0\n1\n2\n")
    assert result.stderr == "trizmq: 409 Conflict: later\n"
    for status, code in ((404, 4), (500, 5)):
        result = echo("call", "GET", f"/echo/{status}", "--stream")
        assert result.exit_code == code
        assert result.stderr.startswith(f"trizmq: {status} ")
    result = echo("call", "GET", "/echo/never", "--stream", "--timeout", "0.2")
    assert (result.exit_code, result.stderr) == (124, "trizmq: no response within 0.2 s\n")


def test_a_stream_ends_with_the_reader_of_its_output(echo: CommandLine) -> None:
    process = echo.start("call", "GET", "/echo/endless", "--stream")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) != 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_stream_needs_the_native_dialect(echo: CommandLine) -> None:
    result = echo("call", "GET", "/echo/parts", "--stream", "--dialect", "mdp02")
    assert result.exit_code == 2
    assert "--stream needs the native dialect, not mdp02" in result.stderr
