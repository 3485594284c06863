"""Broker and workers in separate processes, started separately or by `run --workers N`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zmq
from msgspec.structs import replace

from trizmq.cli.options import chosen
from trizmq.cli.worker import worker, worker_command
from trizmq.settings import DEFAULT_BACKEND, Settings
from trizmq.wire import native
from trizmq.wire.items import VERSION, Hello

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import CommandLine, Server

HELLO = """
import os, time, trio, trizmq

routes = trizmq.Router("/hello")

@routes.post("")
async def hello(body: bytes) -> bytes:
    return b"hello " + body

@routes.get("/pid")
async def pid() -> int:
    return os.getpid()

@routes.post("/die")
async def die() -> None:
    os._exit(3)

@routes.post("/slow")
async def slow() -> str:
    print("running", flush=True)
    await trio.sleep(0.5)
    return "slept"

@routes.post("/hang")
async def hang() -> None:
    time.sleep(60)

@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes
"""

#: PyPI's majortomo, unchanged.
OTHER_BROKER = """
import sys
from majortomo.broker import Broker
Broker(bind=sys.argv[1]).run()
"""


@pytest.fixture(autouse=True)
def _hello(trizmq: CommandLine) -> None:
    trizmq.module("hello", HELLO)


@pytest.fixture
def backend(trizmq: CommandLine) -> str:
    return f"ipc://{trizmq.directory}/backend"


@pytest.fixture
def two_workers(trizmq: CommandLine) -> Iterator[Server]:
    with trizmq.serving("--plugins", "", "-p", "hello", "--workers", "2") as server:
        yield server


def get_pid(trizmq: CommandLine) -> int:
    result = trizmq("call", "GET", "/hello/pid", "--timeout", "10")
    assert result.exit_code == 0, result.stdout + result.stderr
    return int(result.stdout)


def get_pids(trizmq: CommandLine, count: int) -> set[int]:
    """Return the pids of all workers, once there are this many."""
    until(lambda: workers(trizmq) == count)
    found: set[int] = set()
    while len(found) < count:
        found.add(get_pid(trizmq))
    return found


def workers(trizmq: CommandLine) -> int:
    return int(json.loads(trizmq("health", "--json").stdout)["workers"])


def until(is_so: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def log_of(trizmq: CommandLine, logger: str) -> list[str]:
    lines = map(json.loads, trizmq.log().splitlines())
    return [line["message"] for line in lines if line["logger"] == logger]


def test_losing_a_worker_with_the_name_of_a_child_does_not_end_the_child(
    trizmq: CommandLine, backend: str
) -> None:
    options = ("--plugins", "", "-p", "hello", "--workers", "1", "--backend", backend)
    with trizmq.serving(*options):
        (pid,) = get_pids(trizmq, 1)
        (child,) = json.loads(trizmq("call", "GET", "/mmi/workers").stdout)
        with zmq.Context() as context, context.socket(zmq.DEALER) as impostor:
            impostor.linger = 0
            impostor.connect(backend)
            impostor.send_multipart(
                native.encode([Hello(VERSION, child["name"], 1, ("other",), ("hello",))])
            )
            impostor.recv_multipart()
            impostor.send_multipart([b"", b"MDPW01", b"\x04"])  # which gets it disconnected
            impostor.recv_multipart()
        assert get_pid(trizmq) == pid
        assert workers(trizmq) == 1
        assert f"{child['name']} (no child)".encode() in trizmq.log()


# -- separate broker and workers -----------------------------------------------------


def test_a_broker_and_a_worker_start_in_either_order(trizmq: CommandLine, backend: str) -> None:
    bind = f"ipc://{trizmq.directory}/front"
    trizmq.environment |= {"TRIZMQ_CONNECT": bind, "TRIZMQ_BACKEND": backend}
    with trizmq.running("worker", "-p", "hello", "--plugins", "") as one:
        assert one.ready == f"trizmq worker ready, connecting to {backend}\n"
        for _ in range(2):  # the worker outlives the first broker
            with trizmq.running("broker", "--bind", bind, "--wait", "10") as broker:
                assert broker.ready == f"trizmq broker ready on {bind}, workers on {backend}\n"
                assert get_pid(trizmq) == one.process.pid
                assert broker.stop() == 0
        assert one.stop() == 0


@pytest.mark.parametrize("dialect", ["mdp01", "mdp02", "majortomo", "packed"])
def test_a_worker_may_use_any_dialect(trizmq: CommandLine, backend: str, dialect: str) -> None:
    options = ["--connect", backend, "--dialect", dialect, "--capacity", "3"]
    with trizmq.serving("--backend", backend, "--wait", "10", command="broker"):
        with trizmq.running("worker", *options, "--plugins", "", "-p", "hello") as one:
            assert trizmq("call", "POST", "/hello", "-d", "you").stdout == "hello you"
            until(lambda: workers(trizmq) == 3)
            assert one.stop() == 0


def test_a_worker_serves_at_a_foreign_broker(trizmq: CommandLine, backend: str) -> None:
    options = ["--connect", backend, "--dialect", "majortomo", "--capacity", "1"]
    with subprocess.Popen([sys.executable, "-c", OTHER_BROKER, backend]) as broker:
        try:
            with trizmq.running("worker", *options, "--plugins", "", "-p", "hello"):
                call = ["call", "--connect", backend, "--dialect", "majortomo", "POST", "/hello"]
                result = trizmq(*call, "-d", "you", "--timeout", "10")
                assert (result.exit_code, result.stdout) == (0, "hello you")
        finally:
            broker.kill()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["broker", "--backend", "tcp://0.0.0.0:*"], "--insecure"),
        (["broker", "--backend", "ipc:///nowhere/x"], "trizmq: cannot bind ipc:///nowhere/x"),
        (["worker", "--connect", "nonsense", "-p", "hello"], "trizmq: cannot connect to nonsense"),
        (["worker", "--plugins", ""], "trizmq: a worker needs plugins"),
        (["worker", "--plugins", "nope"], "trizmq: no plugin 'nope' is installed"),
        (["worker", "--dialect", "plain"], "Invalid value for '--dialect'"),
        (["run", "--workers", "2", "--plugins", "nope"], "trizmq: no plugin 'nope' is installed"),
        (["run", "--workers", "-1"], "Invalid value for '--workers'"),
        (["run", "--workers", "100000"], "Invalid value for '--workers'"),
        (["run", "--capacity", "99999999999999"], "Invalid value for '--capacity'"),
        (["worker", "--threads", "1000000"], "Invalid value for '--threads'"),
    ],
)
def test_user_errors_are_one_line_and_exit_code_2(
    trizmq: CommandLine, args: list[str], complaint: str
) -> None:
    result = trizmq.process(*args, *(["--bind", "tcp://127.0.0.1:*"] * (args[0] != "worker")))
    said = result.stderr.decode()
    assert (result.returncode, result.stdout) == (2, b""), said
    assert complaint in said
    assert "Traceback" not in said


# -- health --------------------------------------------------------------------------


def test_health_is_0_if_all_is_well_and_1_if_not(trizmq: CommandLine, backend: str) -> None:
    with trizmq.serving("--backend", backend, command="broker"):
        with trizmq.running("worker", "--connect", backend, "-p", "hello", "--plugins", "") as one:
            until(lambda: workers(trizmq) == 1)
            result = trizmq("health")
            assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "status: ok")
            assert one.stop() == 0
        until(lambda: workers(trizmq) == 0)
        result = trizmq("health")
        assert result.exit_code == 1
        assert "without workers: hello" in result.stdout.splitlines()


def test_health_without_a_server_is_exit_code_3(trizmq: CommandLine) -> None:
    endpoint = f"ipc://{trizmq.directory}/nobody"
    assert trizmq("health", "--timeout", "0.2", "--connect", endpoint).exit_code == 3


# -- run --workers -------------------------------------------------------------------


def test_handlers_run_in_separate_processes(trizmq: CommandLine, two_workers: Server) -> None:
    pids = get_pids(trizmq, 2)
    assert two_workers.process.pid not in pids
    assert two_workers.stop() == 0
    assert two_workers.process.stdout
    assert two_workers.process.stdout.read() == b""
    assert not any(map(is_alive, pids))


def test_a_killed_worker_costs_an_idempotent_call_nothing(
    trizmq: CommandLine, two_workers: Server
) -> None:
    before = get_pids(trizmq, 2)
    os.kill(max(before), signal.SIGKILL)
    for _ in range(4):
        get_pid(trizmq)
    assert len(get_pids(trizmq, 2) & before) == 1
    assert two_workers.stop() == 0


def test_all_workers_end_within_two_seconds_of_their_parent(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "", "-p", "hello", "--workers", "4") as server:
        pids = get_pids(trizmq, 4)
        os.kill(min(pids), signal.SIGSTOP)
        server.process.kill()
        assert server.process.stdout
        # Each child holds the other end, which closes with the last of them.
        began = time.monotonic()
        assert server.process.stdout.read() == b""
        assert time.monotonic() - began < 2


def test_sighup_replaces_the_workers_and_no_call_fails(
    trizmq: CommandLine, two_workers: Server
) -> None:
    before = get_pids(trizmq, 2)
    two_workers.process.send_signal(signal.SIGHUP)
    while "replaced all" not in log_of(trizmq, "trizmq.supervisor"):
        get_pid(trizmq)
    assert not get_pids(trizmq, 2) & before
    assert two_workers.stop() == 0


@pytest.mark.parametrize("to_all", [False, True], ids=["SIGTERM", "Ctrl-C"])
def test_running_calls_finish_after_a_signal(trizmq: CommandLine, to_all: bool) -> None:
    with trizmq.serving("--plugins", "", "-p", "hello", "--workers", "2") as server:
        assert server.process.stdout
        with trizmq.start("call", "POST", "/hello/slow") as caller:
            assert server.process.stdout.readline() == b"running\n"
            if to_all:  # like a terminal, to the whole process group of the server
                os.killpg(server.process.pid, signal.SIGINT)
            else:
                server.process.terminate()
            assert server.process.wait(10) == 0
            assert caller.communicate(timeout=10)[0] == b'"slept"'


def test_a_stopping_worker_finishes_its_running_calls(
    trizmq: CommandLine, two_workers: Server
) -> None:
    assert two_workers.process.stdout
    pids = get_pids(trizmq, 2)
    with trizmq.start("call", "POST", "/hello/slow") as caller:
        assert two_workers.process.stdout.readline() == b"running\n"
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        assert caller.communicate(timeout=10)[0] == b'"slept"'
    assert not get_pids(trizmq, 2) & pids
    assert two_workers.stop() == 0


@pytest.mark.slow
def test_a_hanging_worker_is_named_and_replaced(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "", "-p", "hello", "--workers", "1") as server:
        (before,) = get_pids(trizmq, 1)
        result = trizmq("call", "POST", "/hello/hang", "--timeout", "10")
        assert result.exit_code == 5
        assert get_pid(trizmq) != before
        (stuck,) = log_of(trizmq, "trizmq.watchdog")
        line = HELLO.splitlines().index("    time.sleep(60)") + 1
        assert f"{Path(trizmq.directory, 'hello.py')}, line {line}, in hang" in stuck
        assert server.stop() == 0


@pytest.mark.slow
def test_calls_get_a_503_while_workers_keep_dying(trizmq: CommandLine) -> None:
    with trizmq.serving("--plugins", "", "-p", "hello", "--workers", "1") as server:
        for _ in range(5):
            get_pids(trizmq, 1)
            assert json.loads(trizmq("call", "POST", "/hello/die").stdout)["status"] == 502
        result = trizmq("call", "GET", "/hello/pid")
        assert json.loads(result.stdout)["status"] == 503
        get_pids(trizmq, 1)
        assert server.stop() == 0


# -- settings that the parent passes to its children ---------------------------------


def settings_of_child(command: list[str]) -> Settings:
    """Parse a command like the child, without other settings."""
    start = command.index("worker") + 1
    return chosen(worker.make_context("worker", command[start:]))


SERVING = Settings(capacity=7, threads=3, grace=1.5, log_level="error")


@pytest.mark.parametrize(
    "settings",
    [
        SERVING,
        Settings(plugins=(), modules=("hello", "x.y"), access_log=True, limits={"services": 7}),
        Settings(plugins=("users", "auth"), state_dir=Path("state")),
    ],
)
def test_a_child_has_the_settings_of_its_parent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for variable in ("DIALECT=mdp01", "CAPACITY=9", "LIMITS_SERVICES=8"):
        name, _, value = variable.partition("=")
        monkeypatch.setenv(f"TRIZMQ_{name}", value)
    child = settings_of_child(worker_command(settings, None))
    limits = {"services": 8, **settings.limits}
    assert child == replace(settings, backend=DEFAULT_BACKEND, limits=limits)


def test_a_child_reads_the_same_settings_file(tmp_path: Path) -> None:
    command = worker_command(SERVING, tmp_path / "other.toml")
    assert command[command.index("--config") + 1] == str(tmp_path / "other.toml")


def test_a_child_finds_modules_like_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for first, is_safe in ((str(tmp_path), False), ("", False), ("/somewhere", True)):
        monkeypatch.setattr(sys, "path", [first, *sys.path])
        assert ("-P" in worker_command(SERVING, None)) is is_safe


# -- a start that fails -----------------------------------------------------------------

FAILING = """
from contextlib import asynccontextmanager
import os, pathlib, signal, trizmq
{hello}
@trizmq.hookimpl
@asynccontextmanager
async def trizmq_lifespan():
    {fails}
    yield
"""


@pytest.mark.parametrize(
    ("fails", "code", "complaint"),
    [
        ("raise RuntimeError('no database')", 1, "(exit status 1)"),
        ("raise trizmq.ConfigError('no database')", 2, "(exit status 2)"),
        ("os._exit(7)", 1, "(exit status 7)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, "(SIGKILL)"),
    ],
)
def test_workers_that_cannot_start_end_the_start(
    trizmq: CommandLine, fails: str, code: int, complaint: str
) -> None:
    trizmq.module("failing", FAILING.format(hello=HELLO, fails=fails))
    serve = ["--plugins", "", "-p", "failing", "--workers", "2", "--bind", "tcp://127.0.0.1:*"]
    result = trizmq.process("run", *serve)
    said = result.stderr.decode()
    assert (result.returncode, result.stdout) == (code, b""), said
    (line,) = (line for line in said.splitlines() if "before all were ready" in line)
    assert f"a worker process ended before all were ready {complaint}" in line
    assert "Traceback" not in line
    assert said.count(" died: ") <= 6


def test_the_ready_line_comes_when_every_worker_is_ready(trizmq: CommandLine) -> None:
    slow = "await __import__('trio').sleep(0.5)"
    trizmq.module("failing", FAILING.format(hello=HELLO, fails=slow))
    with trizmq.serving("--plugins", "", "-p", "failing", "--workers", "2") as server:
        assert workers(trizmq) == 2
        assert server.stop() == 0


def test_a_signal_during_the_start_ends_it(trizmq: CommandLine) -> None:
    slow = "await __import__('trio').sleep_forever()"
    trizmq.module("failing", FAILING.format(hello=HELLO, fails=slow))
    serve = ["--plugins", "", "-p", "failing", "--workers", "1", "--bind", "tcp://127.0.0.1:*"]
    with trizmq.start("run", *serve) as server:
        try:
            assert server.stderr
            while b"started w1-" not in server.stderr.readline():
                pass
            server.terminate()
            assert server.wait(10) == 0
        finally:
            server.kill()
