"""Peers at the wrong port or over a limit are notified, and the broker logs it."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq
from trizmq.beside import running
from trizmq.processes.work import work

if TYPE_CHECKING:
    from collections.abc import Callable

routes = trizmq.Router("/here")


@routes.get("")
async def here() -> str:
    return "here"


def many(count: int) -> list[trizmq.Router]:
    routers = []
    for number in range(count):
        router = trizmq.Router(f"/service{number}")
        router.get("")(here)
        routers.append(router)
    return routers


class Many:
    def __init__(self, count: int) -> None:
        self._count = count

    @trizmq.hookimpl
    def trizmq_register_routes(self) -> list[trizmq.Router]:
        return many(self._count)


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trizmq")


async def until_said(caplog: pytest.LogCaptureFixture, *lines: str) -> None:
    with trio.fail_after(10):
        while not all(line in caplog.text for line in lines):
            await trio.sleep(0.01)


def count_of(caplog: pytest.LogCaptureFixture, line: str) -> int:
    return sum(line in record.getMessage() for record in caplog.records)


async def test_a_worker_at_the_clients_port_is_notified(
    plugin: Callable[..., Any], open_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_server() as server:
        working = partial(work, plugins=[plugin(routes)], connect=server.endpoint)
        async with running(working):
            await until_said(
                caplog,
                "refused a worker that speaks native: this port is for clients: workers connect"
                " to the endpoint of --backend",
                f"refused by the broker at {server.endpoint}: this port is for clients: connect to"
                " the endpoint of its --backend",
            )
            await trio.sleep(2.5)  # it sends a hello each second
        assert count_of(caplog, "refused by the broker") == 1
        assert count_of(caplog, "refused a worker") == 1
        assert server.broker.counters.disconnected <= 4


async def test_a_client_at_the_workers_port_is_notified(
    open_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        open_server() as server,
        trizmq.open_client(server.backend) as client,
    ):
        with trio.fail_after(5), pytest.raises(trizmq.Unreachable) as caught:
            await client.get("/here")
        assert caught.value.executed == "no"
        assert str(caught.value) == (
            f"{server.backend} is a port for workers:"
            " connect to the endpoint of the broker's --bind"
        )
        await until_said(
            caplog, "a client is at the workers' port: clients connect to the endpoint"
        )


async def test_a_worker_with_too_many_services_is_notified(
    open_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_server() as server:
        working = partial(work, plugins=[Many(300)], connect=server.backend, name="big")
        async with running(working):
            await until_said(
                caplog,
                "big, with 300 services, exceeds a limit: [limits] services or workers",
                f"refused by the broker at {server.backend}: it has as many services or workers",
            )


async def test_a_worker_at_the_limit_of_services_is_accepted(open_server: Any) -> None:
    async with open_server(services=300) as server:
        working = partial(work, plugins=[Many(300)], connect=server.backend)
        async with running(working), trizmq.open_client(server.endpoint) as client:
            with trio.fail_after(10):
                while (await client.get("/service299")).status != 200:
                    await trio.sleep(0.05)


@pytest.mark.parametrize("count", [257, 300])
async def test_a_server_with_too_many_services_is_refused(serving: Any, count: int) -> None:
    with pytest.raises(trizmq.ConfigError) as caught:
        async with serving(Many(count)):
            pass
    assert str(caught.value) == (
        f"the plugins offer {count} services, and at most 256 are allowed:"
        f" set services = {count} in [limits]"
    )
    async with (
        serving(Many(count), limits={"services": count}) as endpoint,
        trizmq.open_client(endpoint) as client,
    ):
        assert (await client.get(f"/service{count - 1}")).status == 200
