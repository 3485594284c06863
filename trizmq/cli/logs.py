"""Log lines: for people on a terminal, JSON for machines otherwise."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

__all__ = ["ACCESS", "JSONFormatter", "TextFormatter", "log_to"]

#: The logger of the access log; its lines consist of their extras.
ACCESS: Final = "trizmq.access"

#: Attributes of every record; all others come from ``extra=``.
_ORDINARY: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def log_to(stream: TextIO, *, level: str, worker: str | None = None) -> None:
    """Send log lines at ``level`` and above to ``stream``: text for a terminal, else JSON.

    The access log has its own switch, and ``level`` does not apply to it. If several processes
    share ``stream``, ``worker`` marks the lines of this one.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter() if stream.isatty() else JSONFormatter())
    if worker is not None:
        handler.addFilter(_Named(worker))
    logging.basicConfig(handlers=[handler], level=level.upper())
    logging.getLogger(ACCESS).setLevel(logging.INFO)


class _Named(logging.Filter):
    """Passes every record, with the name of the worker added."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        record.worker = self._worker
        return True


class TextFormatter(logging.Formatter):
    """``12:30:01 warning trizmq.app: message key=value``, and a traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. Text from callers is escaped before it reaches the terminal."""
        time = self.formatTime(record, "%H:%M:%S")
        line = _visible(f"{time} {_access(record) or _ordinary(record)}")
        return "\n".join([line, *filter(None, [_traceback(record)])])


class JSONFormatter(logging.Formatter):
    """One object per line: ``time``, ``level``, ``logger``, ``message``, and every extra."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a value that JSON cannot represent is written as its ``str``."""
        head = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        tail = {"traceback": text} if (text := _traceback(record)) else {}
        # `head` twice: first in the line, and no extra can replace its values.
        return _encoded(head | _extras(record) | tail | head)


def _access(record: logging.LogRecord) -> str:
    if record.name != ACCESS:
        return ""
    extras = _extras(record)
    words = [extras.pop(key, "") or "-" for key in ("method", "route", "status", "duration_ms")]
    return "{} {} {} {} ms ".format(*words) + _pairs(extras)


def _ordinary(record: logging.LogRecord) -> str:
    line = f"{record.levelname.lower()} {record.name}: {record.getMessage()}"
    return " ".join(filter(None, [line, _pairs(_extras(record))]))


def _pairs(extras: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in extras.items())


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _ORDINARY}


def _visible(text: str) -> str:
    """Escape line ends and control characters: a request id is chosen by the caller."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _traceback(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    return logging.Formatter().formatException(record.exc_info)


def _encoded(document: dict[str, Any]) -> str:
    try:
        return orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # a lone surrogate, or an integer over 64 bits: the line must not be lost
        return json.dumps(document, default=str)
