"""Shared by the tests of `trizmq.wire`: one valid message of every kind."""

from __future__ import annotations

import pytest

from trizmq.messages import Principal
from trizmq.wire import native
from trizmq.wire.items import (
    Call,
    Cancel,
    Credit,
    Goaway,
    Heartbeat,
    Hello,
    Item,
    Part,
    Response,
)

LARGE = b"x" * (native.LARGE + 1)


@pytest.fixture(scope="session")
def every_item() -> list[Item]:
    return [
        Hello(1, "instance", 256, ("users", "auth")),
        Call(1, 30_000, "GET", "/users?x=1", {"authorization": "Bearer a"}, b""),
        Call(2, 1, "POST", "/é", {}, LARGE, Principal("ada", frozenset({"*"}))),
        Call(3, 1, "POST", "/users", {}, [b"a", b"", b"c"]),
        Cancel(1),
        Response(1, 200, {}, b"{}"),
        Response(2, 404, {"content-type": "text/plain"}, [LARGE, b"", b"tail"]),
        Part(3, 0, LARGE),
        Part(3, 1, b""),
        Credit(3, 16),
        Heartbeat(),
        Goaway("draining"),
    ]


@pytest.fixture(scope="session")
def client_messages(every_item: list[Item]) -> list[list[bytes]]:
    """Valid messages for a frontend."""
    return [
        native.encode(every_item),
        native.encode(every_item[:2]),
        [b"", b"MDPC01", b"users", b"{}"],
        [b"", b"MDPC01", b"GET /users/1?x=1\r\nauthorization: Bearer a\r\n", b"", b"b"],
        [b"MDPC02", b"\x01", b"mmi.service", b"users"],
        [b"", b"MDPC02", b"\x01", b"users", b"{}"],
        [b"", b"MDPC02", b"\x02", b"users", b"{}"],
        [b"\0\1\2\3\4", b"\x91queue", b"", b"MDPC01", b"users", b"", b"x"],
        [b"\xaa\xa4\x01\x06MDPC02\x01\x05users", b"{}"],
        [b"", b"\xaa\xa4\x01\x06MDPC02\x01\x05users", b"a", b"b"],
        [b"", b'{"path": "/users"}'],
        [
            b"",
            b'{"method": "PUT", "path": "/users/1", "query": {"a": 1.50, "b": true, "c": "d"},'
            b' "headers": {"X-Tenant": "blue"}, "body": [{"a": null}], "timeout": 2.5}',
        ],
        [b"\0\1\2\3\4", b"", b'{"method": "POST", "path": "/users"}', b"\xff\x00", b""],
    ]


@pytest.fixture(scope="session")
def worker_messages(every_item: list[Item]) -> list[list[bytes]]:
    """Valid messages for a backend."""
    commands: list[list[bytes]] = [
        [b"\x01", b"users"],
        [b"\x03", b"client", b"", b"{}"],
        [b"\x04", b"client", b"", b"a", b"b"],
        [b"\x05"],
        [b"\x06"],
    ]
    return [
        native.encode(every_item),
        [b"", b"MDPW01", b"\x01", b"users"],
        [b"", b"MDPW01", b"\x02", b"client", b"", b"{}"],
        [b"", b"MDPW01", b"\x03", b"client", b"", b"{}", b""],
        [b"", b"MDPW01", b"\x04"],
        [b"", b"MDPW01", b"\x05"],
        [b"\xaa\xa4\x04\x06MDPW02\x01\x05users"],
        [b"\xaa\xa4\x07\x06MDPW02\x04", b"client", b"", b"{}"],
        [b"\xaa\xa4\x08\x06MDPW02\x05"],
        *([b"MDPW02", *command] for command in commands),
        *([b"", b"MDPW02", *command] for command in commands),
    ]
