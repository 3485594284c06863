"""Endpoints with host names: a name server that hangs, addresses that change, and IPv6 alone."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq
from tests.transport.names import Names
from trizmq.beside import running
from trizmq.processes.work import work

if TYPE_CHECKING:
    from collections.abc import Callable

routes = trizmq.Router()


@routes.post("/users")
async def users() -> str:
    return "all"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def port_of(endpoint: str) -> str:
    return endpoint.rpartition(":")[2]


@pytest.fixture
def names() -> Callable[..., Names]:
    """Set the addresses of names: ``names(one=["127.0.0.1"], hangs=None)``."""

    def know(**known: Any) -> Names:
        server = Names(**known)
        trio.socket.set_custom_hostname_resolver(server)
        return server

    return know


async def test_a_name_server_that_hangs_delays_no_other_endpoint(serving: Any, names: Any) -> None:
    async with serving(routes) as endpoint:
        port = port_of(endpoint)
        names(hangs=None, works=["127.0.0.1"])
        for order in (("hangs", "works"), ("works", "hangs")):
            connect = ",".join(f"tcp://{name}:{port}" for name in order)
            with trio.fail_after(2):
                async with trizmq.open_client(connect) as client:
                    assert (await client.post("/users")).status == 200


async def test_ipv6_alone_is_enough(serving: Any, names: Any) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    names(six=["::1"], both=["::1", "127.0.0.1"])
    async with serving(routes, bind="tcp://[::1]:*") as endpoint:
        for name in ("six", "both"):
            with trio.fail_after(3):
                async with trizmq.open_client(f"tcp://{name}:{port_of(endpoint)}") as client:
                    assert (await client.post("/users")).status == 200


async def test_an_unknown_name_is_looked_up_again(serving: Any, names: Any) -> None:
    async with serving(routes) as endpoint:
        known = names()
        async with trizmq.open_client(f"tcp://later:{port_of(endpoint)}") as client:
            with trio.move_on_after(0.3):
                await client.post("/users")
            known.known["later"] = ["127.0.0.1"]
            with trio.fail_after(3):
                assert (await client.post("/users")).status == 200
    assert len(known.asked) < 10


async def test_a_changed_address_is_found_after_a_lost_connection(serving: Any, names: Any) -> None:
    port = free_port()
    known = names(moving=["127.0.0.1"])
    with trio.fail_after(10):
        async with trizmq.open_client(f"tcp://moving:{port}") as client:
            async with serving(routes, bind=f"tcp://127.0.0.1:{port}"):
                assert (await client.post("/users")).status == 200
            known.known["moving"] = ["127.0.0.2"]
            async with serving(routes, bind=f"tcp://127.0.0.2:{port}"):
                assert (await client.post("/users")).status == 200


async def test_the_next_address_is_tried_if_the_first_does_not_respond(
    serving: Any, names: Any
) -> None:
    names(several=["127.0.0.3", "127.0.0.2", "127.0.0.1"])
    async with serving(routes) as endpoint:
        with trio.fail_after(3):
            async with trizmq.open_client(f"tcp://several:{port_of(endpoint)}") as client:
                assert (await client.post("/users")).status == 200


async def test_workers_look_up_names_too(
    open_server: Any, plugin: Any, names: Any, tmp_path: Any
) -> None:
    async with open_server() as server:
        names(broker=["127.0.0.1"], hangs=None)
        port = port_of(server.backend)
        for dialect in ("native", "mdp02"):
            serve = partial(
                work,
                connect=f"tcp://hangs:{port},tcp://broker:{port}",
                plugins=[plugin(routes)],
                state_dir=tmp_path,
                dialect=dialect,
                capacity=1,
            )
            with trio.fail_after(5):
                async with running(serve), trizmq.open_client(server.endpoint) as client:
                    assert (await client.post("/users")).status == 200


@pytest.mark.parametrize("connect", ["tcp://a:1,", "127.0.0.1:5555", "tcp://*:5555"])
async def test_an_invalid_endpoint_is_an_error_immediately(connect: str) -> None:
    with pytest.raises(trizmq.ConfigError, match="cannot connect to"):
        async with trizmq.open_client(connect):
            pass
