"""Log lines: text on a terminal, JSON otherwise; no line is lost or forged."""

from __future__ import annotations

import io
import json
import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from trizmq.cli.logs import ACCESS, JSONFormatter, TextFormatter, log_to

if TYPE_CHECKING:
    from collections.abc import Iterator

CALL = {
    "request_id": "r1",
    "method": "GET",
    "route": "/users/{user_id:int}",
    "status": 200,
    "duration_ms": 0.42,
}


def record(message: str, *args: object, name: str = "trizmq.app", **extra: Any) -> Any:
    logger = logging.Logger(name)
    return logger.makeRecord(name, logging.INFO, "", 0, message, args, None, extra=extra)


def as_json(message: str, *args: object, **extra: Any) -> dict[str, Any]:
    line = JSONFormatter().format(record(message, *args, **extra))
    assert "\n" not in line
    document = json.loads(line)
    assert isinstance(document, dict)
    return document


def as_text(message: str, *args: object, **extra: Any) -> str:
    line = TextFormatter().format(record(message, *args, **extra))
    time, _, rest = line.partition(" ")
    assert len(time) == len("12:30:01")
    return rest


def test_json_has_time_level_logger_message_and_extras() -> None:
    document = as_json("%d of %d", 1, 2, request_id="r1")
    assert document.pop("time").endswith("+00:00")
    assert document == {
        "level": "info",
        "logger": "trizmq.app",
        "message": "1 of 2",
        "request_id": "r1",
    }


def test_an_extra_cannot_replace_a_standard_field() -> None:
    document = as_json("real", level="forged", logger="forged")
    assert (document["level"], document["logger"]) == ("info", "trizmq.app")


@pytest.mark.parametrize("value", [object(), 2**70, "\ud800", {1: 2}, b"\xff"])
def test_json_accepts_any_extra(value: object) -> None:
    assert as_json("odd", value=value)["message"] == "odd"


def test_text_names_level_logger_message_and_extras() -> None:
    assert as_text("up", port=5) == "info trizmq.app: up port=5"
    assert as_text("up") == "info trizmq.app: up"


def test_the_access_log_consists_of_its_extras() -> None:
    assert as_text("", name=ACCESS, **CALL) == (
        "GET /users/{user_id:int} 200 0.42 ms request_id=r1"
    )
    assert as_json("", name=ACCESS, **CALL).items() >= CALL.items()


def test_a_caller_cannot_forge_lines_or_drive_the_terminal() -> None:
    line = as_text("", name=ACCESS, **{**CALL, "request_id": "r\n12:00:00 \x1b[2J"})
    assert line.endswith(r"request_id=r\n12:00:00 \x1b[2J")


@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter()])
def test_tracebacks_are_logged(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        failed = record("failed")
        failed.exc_info = sys.exc_info()
    assert "ValueError: broken" in formatter.format(failed)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def bare_logging() -> Iterator[None]:
    """Logging as in a new process; pytest's handlers are restored at the end."""
    root, access = logging.getLogger(), logging.getLogger(ACCESS)
    handlers, levels = root.handlers, (root.level, access.level)
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(levels[0])
        access.setLevel(levels[1])


@pytest.mark.parametrize(("stream", "is_json"), [(Terminal(), False), (io.StringIO(), True)])
def test_logs_are_text_on_a_terminal_and_json_elsewhere(stream: io.StringIO, is_json: bool) -> None:
    with bare_logging():
        log_to(stream, level="info")
        logging.getLogger("trizmq").info("up")
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("{") == is_json


def test_the_level_is_a_minimum_but_not_for_the_access_log() -> None:
    stream = io.StringIO()
    with bare_logging():
        log_to(stream, level="error")
        logging.getLogger("trizmq").warning("not told")
        logging.getLogger(ACCESS).info("", extra=CALL)
    assert [json.loads(line)["logger"] for line in stream.getvalue().splitlines()] == [ACCESS]


def test_log_lines_of_a_worker_contain_its_name() -> None:
    stream = io.StringIO()
    with bare_logging():
        log_to(stream, level="info", worker="w1-5f3a9c")
        logging.getLogger("trizmq").info("up")
    assert json.loads(stream.getvalue())["worker"] == "w1-5f3a9c"
