"""Valid and invalid endpoints, their errors, and what a bind may replace."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from trizmq.errors import ConfigError
from trizmq.transport.endpoints import LONGEST_PATH, check_bind, check_connect, is_local
from trizmq.transport.zeromq import ZmqTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def transport() -> AsyncIterator[ZmqTransport]:
    async with ZmqTransport(max_frame=100_000) as transport:
        yield transport


BOTH = [
    ("", "an endpoint is empty: is there an extra comma?"),
    ("127.0.0.1:5555", "the transport is missing, as in tcp://127.0.0.1:5555"),
    ("localhost", "the transport is missing, as in tcp://127.0.0.1:5555"),
    ("[::1]:5555", "the transport is missing, as in tcp://[::1]:5555"),
    ("/run/trizmq.sock", "the transport is missing"),
    ("tcp:127.0.0.1:5555", "the transport is missing"),
    ("http://127.0.0.1:5555", "unknown transport 'http': use tcp, ipc or inproc"),
    ("TCP://127.0.0.1:5555", "unknown transport 'TCP'"),
    ("udp://127.0.0.1:5555", "unknown transport 'udp'"),
    ("://127.0.0.1:5555", "unknown transport ''"),
    ("tcp://", "nothing follows tcp://"),
    ("ipc://", "nothing follows ipc://"),
    ("inproc://", "nothing follows inproc://"),
    ("tcp://127.0.0.1", "the port is missing, as in tcp://127.0.0.1:5555"),
    ("tcp://127.0.0.1:", "the port is missing, as in tcp://127.0.0.1:5555"),
    ("tcp://[::1]", "brackets"),
    ("tcp://:5555", "the host is missing, as in tcp://127.0.0.1:5555"),
    ("tcp://::1:5555", "an IPv6 address needs brackets, as in tcp://[::1]:5555"),
    ("tcp://fe80::1:5555", "an IPv6 address needs brackets, as in tcp://[fe80::1]:5555"),
    ("tcp://[::1:5555", "an IPv6 address needs brackets, as in tcp://[::1]:5555"),
    ("tcp://127.0.0.1:65536", "a port is a number from 1 to 65535"),
    ("tcp://127.0.0.1:-1", "a port is a number from 1 to 65535"),
    ("tcp://127.0.0.1:+5", "a port is a number from 1 to 65535"),
    ("tcp://127.0.0.1:http", "a port is a number from 1 to 65535"),
    ("tcp://127.0.0.1:5555/", "a port is a number from 1 to 65535"),
    ("tcp://127.0.0.1:\u0665", "a port is a number from 1 to 65535"),
    ("tcp://127.0.0.1: 5555", "an endpoint has no white space or ';': separate several by commas"),
    ("tcp://127.0.0.1:1;tcp://127.0.0.1:2", "separate several by commas"),
    ("tcp:/127.0.0.1:5999", "the transport is missing, as in tcp://127.0.0.1:5999"),
    ("tcp://127.0.0.1:5555 tcp://127.0.0.1:5556", "separate several by commas"),
    ("tcp://127.0.0.1:5555\n", "an endpoint has no white space"),
    ("ipc:///run/a\tb", "an endpoint has no white space"),
    ("ipc:///" + "x" * LONGEST_PATH, "the path of an ipc endpoint has at most 107 bytes"),
    ("ipc:///" + "ä" * 54, "the path of an ipc endpoint has at most 107 bytes"),
]


@pytest.mark.parametrize(("endpoint", "complaint"), BOTH)
def test_an_invalid_endpoint_is_one_line_with_the_correct_form(
    endpoint: str, complaint: str
) -> None:
    for check, verb in ((check_bind, "cannot bind"), (check_connect, "cannot connect to")):
        with pytest.raises(ConfigError) as caught:
            check(endpoint)
        said = str(caught.value)
        assert said.startswith(f"{verb} ")
        if complaint != "brackets":
            assert complaint in said


@pytest.mark.parametrize("host", ["*", "0.0.0.0", "[::]"])
def test_only_servers_can_use_every_interface(host: str) -> None:
    check_bind(f"tcp://{host}:5555")
    with pytest.raises(ConfigError, match="for servers: use the address of a machine"):
        check_connect(f"tcp://{host}:5555")


@pytest.mark.parametrize("port", ["*", "0"])
def test_only_servers_can_use_any_port(port: str) -> None:
    check_bind(f"tcp://127.0.0.1:{port}")
    with pytest.raises(ConfigError, match="a port is a number from 1 to 65535, not "):
        check_connect(f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://127.0.0.1:5555",
        "tcp://localhost:1",
        "tcp://service.example:65535",
        "tcp://[::1]:5555",
        "tcp://[fe80::1%eth0]:5555",
        "ipc:///run/some where",
        "ipc://relative",
        "ipc://@abstract",
        "inproc://name",
    ],
)
def test_valid_endpoints_are_accepted(endpoint: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_connect(endpoint)
    check_bind(endpoint)


def test_endpoints_on_this_machine_are_recognized() -> None:
    for endpoint in ("tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "ipc://x"):
        assert is_local(endpoint)
    for endpoint in ("tcp://*:1", "tcp://192.0.2.1:1", "tcp://name:1", "127.0.0.1:1", ""):
        assert not is_local(endpoint)


# -- existing files at the path of an ipc endpoint --------------------------------------------


async def test_a_file_is_never_replaced(transport: ZmqTransport, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="the path exists already and is not a socket"):
        transport.bind(f"ipc://{path}")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("kind", ["directory", "link to a file", "broken link", "pipe"])
async def test_only_sockets_are_replaced(
    transport: ZmqTransport, tmp_path: Path, kind: str
) -> None:
    path, target = tmp_path / "place", tmp_path / "target"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        if kind == "link to a file":
            target.write_text("mine")
        path.symlink_to(target)
    before = path.lstat()
    with pytest.raises(ConfigError, match="the path exists already and is not a socket"):
        transport.bind(f"ipc://{path}")
    assert path.lstat().st_ino == before.st_ino
    assert target.exists() is (kind == "link to a file")


async def test_a_socket_that_its_server_left_behind_is_replaced(
    transport: ZmqTransport, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert stat.S_ISSOCK(path.stat().st_mode)
    transport.bind(f"ipc://{path}")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_a_socket_in_use_is_kept(transport: ZmqTransport, tmp_path: Path, kind: int) -> None:
    path = tmp_path / "socket"
    with closing(socket.socket(socket.AF_UNIX, kind)) as other:
        other.bind(str(path))
        if kind == socket.SOCK_STREAM:
            other.listen(0)
            with closing(socket.socket(socket.AF_UNIX)) as first:
                first.connect(str(path))  # with a full backlog, like a stopped server
                with pytest.raises(ConfigError, match="address already in use"):
                    transport.bind(f"ipc://{path}")
        with pytest.raises(ConfigError, match="address already in use"):
            transport.bind(f"ipc://{path}")
    assert path.is_socket()


async def test_an_impossible_path_is_an_error(transport: ZmqTransport, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"there is no directory {tmp_path}/none"):
        transport.bind(f"ipc://{tmp_path}/none/socket")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r": not a directory$"):
        transport.bind(f"ipc://{tmp_path}/file/socket")


async def test_a_repeated_endpoint_is_in_use(transport: ZmqTransport, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="address already in use"):
        transport.bind(f"ipc://{tmp_path}/one,ipc://{tmp_path}/one")
