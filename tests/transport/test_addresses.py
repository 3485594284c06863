"""Host names are resolved without libzmq, in time, in both families, for each connection."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from tests.transport.names import Names
from trizmq.transport import endpoints as addresses
from trizmq.transport.endpoints import find_addresses, is_refused

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://127.0.0.1:5555",
        "tcp://[::1]:5555",
        "tcp://[fe80::1%eth0]:5555",
        "ipc:///run/trizmq",
        "ipc://@name",
        "inproc://name",
    ],
)
async def test_endpoints_without_a_name_are_unchanged(endpoint: str) -> None:
    trio.socket.set_custom_hostname_resolver(Names())
    assert await find_addresses(endpoint) == [endpoint]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (["192.0.2.1"], ["tcp://192.0.2.1:5555"]),
        (["2001:db8::1"], ["tcp://[2001:db8::1]:5555"]),
        (["::1", "127.0.0.1", "127.0.0.1"], ["tcp://127.0.0.1:5555", "tcp://[::1]:5555"]),
        (["192.0.2.2", "192.0.2.1"], ["tcp://192.0.2.2:5555", "tcp://192.0.2.1:5555"]),
        (OSError("unknown"), []),
        (UnicodeError("label too long"), []),
    ],
)
async def test_names_become_addresses(found: Any, wanted: list[str]) -> None:
    trio.socket.set_custom_hostname_resolver(Names(service_example=found))
    assert await find_addresses("tcp://service.example:5555") == wanted


async def test_a_name_server_that_does_not_respond_is_abandoned(autojump_clock: Any) -> None:
    trio.socket.set_custom_hostname_resolver(Names(service_example=None))
    began = trio.current_time()
    assert await find_addresses("tcp://service.example:5555") == []
    assert trio.current_time() - began == addresses.LOOKUP_SECONDS


@pytest.mark.parametrize("name", ["localhost", "a..b", "x" * 300, "no-such-host.invalid"])
async def test_any_name_is_looked_up_without_an_error(name: str) -> None:
    with trio.fail_after(20):
        found = await find_addresses(f"tcp://{name}:5555")
    assert found[:1] == (["tcp://127.0.0.1:5555"] if name == "localhost" else [])


async def test_only_a_refusal_is_certain(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not await is_refused(f"tcp://127.0.0.1:{port}")
    assert await is_refused(f"tcp://127.0.0.1:{port}")
    assert await is_refused(f"ipc://{tmp_path}/nothing")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/socket")
        listener.listen()
        assert not await is_refused(f"ipc://{tmp_path}/socket")
    assert await is_refused(f"ipc://{tmp_path}/socket")
    assert not await is_refused("inproc://name")
