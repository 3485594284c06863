"""Memory of the serving commands: little while idle, and large bodies without new requests."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from trizmq import open_client

if TYPE_CHECKING:
    from trizmq import Client

    from .conftest import CommandLine

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="this reads /proc"
)

ECHO = """
import trizmq

routes = trizmq.Router("/echo")

@routes.post("")
async def echo(body: bytes) -> bytes:
    return body

@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes
"""

BODY = bytes(2**20)


def page_faults(pid: int) -> int:
    """Count page faults without reading from disk: pages that were requested, and are zero."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def resident_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) // 1024


@pytest.mark.usefixtures("unmeasured")
async def test_large_bodies_reuse_memory(trizmq: CommandLine) -> None:
    trizmq.module("echo", ECHO)
    with trizmq.serving("--plugins", "", "-p", "echo") as server:
        pid = server.process.pid
        assert resident_mib(pid) < 44
        with trio.fail_after(20):
            async with open_client(server.endpoint) as client:
                await echo(client, 10)
                before = page_faults(pid)
                await echo(client, 10)
        # Each of 80 bodies is in the server twice, in 256 pages: 40,960.
        assert page_faults(pid) - before < 1000
        assert resident_mib(pid) < 80


async def echo(client: Client, times: int) -> None:
    for _ in range(times):
        responses = await client.call_many([("POST", "/echo", {"body": BODY})] * 8)
        assert all(response.body == BODY for response in responses)
