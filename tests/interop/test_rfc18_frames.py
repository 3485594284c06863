"""RFC 7 and RFC 18, frame by frame, with sockets that know nothing about trizmq.

Each message is written as in the RFC's tables, and our broker must send exactly that.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import trio
import zmq

SERVICE = b"coffee"


class Worker(NamedTuple):
    """The frames before the command, and the codes of the commands."""

    start: tuple[bytes, ...]
    heartbeat: bytes
    disconnect: bytes
    final: bytes

    def ready(self) -> list[bytes]:
        return [*self.start, b"\x01", SERVICE]

    def beat(self) -> list[bytes]:
        return [*self.start, self.heartbeat]

    def bye(self) -> list[bytes]:
        return [*self.start, self.disconnect]


RFC7 = Worker((b"", b"MDPW01"), b"\x04", b"\x05", b"\x03")
RFC18 = Worker((b"MDPW02",), b"\x05", b"\x06", b"\x04")
DELIMITED = Worker((b"", b"MDPW02"), b"\x05", b"\x06", b"\x04")

WORKERS = pytest.mark.parametrize(
    "says",
    [
        pytest.param(RFC7, id="rfc7"),
        pytest.param(RFC18, id="rfc18"),
        pytest.param(DELIMITED, id="rfc18-delimited"),
    ],
)

#: The frames that a client sends before the service, the opening of the broker's last reply, and
#: the code of a partial reply.
CLIENTS = {
    "rfc7": ([b"", b"MDPC01"], [b"", b"MDPC01", SERVICE], None),
    "rfc18": ([b"MDPC02", b"\x01"], [b"MDPC02", b"\x03", SERVICE], b"\x02"),
    "rfc18-delimited": (
        [b"", b"MDPC02", b"\x01"],
        [b"", b"MDPC02", b"\x03", SERVICE],
        b"\x02",
    ),
    "majortomo": ([b"", b"MDPC02", b"\x02"], [b"", b"MDPC02", b"\x04"], b"\x03"),
}


async def until_served(server, service: bytes = SERVICE) -> None:
    """Wait until a worker offers ``service``: there is no response to READY."""
    with trio.fail_after(5):
        while not getattr(server.broker.services.get(service.decode()), "workers", 0):
            await trio.sleep(0.002)


@WORKERS
async def test_a_request_as_a_worker_receives_it(open_server, connect, says) -> None:
    async with open_server() as server:
        worker = connect(server.backend)
        client = connect(server.endpoint, routing_id=b"a-client-with-a-long-name")
        worker.send(*says.ready())
        await until_served(server)
        addresses = set()
        for number in range(5):
            body = [b"white", b"", b"%d" % number]
            client.send(b"MDPC02", b"\x01", SERVICE, *body)
            *start, command, address, empty, one, two, three = await worker.receive_other(
                says.beat()
            )
            assert (tuple(start), command, empty) == (says.start, b"\x02", b"")
            assert [one, two, three] == body
            assert len(address) >= 16
            assert address.isascii()
            assert address.decode().isprintable()
            assert b"a-client" not in address
            addresses.add(address)
            worker.send(*says.start, says.final, address, b"", b"done")
            assert await client.receive() == [b"MDPC02", b"\x03", SERVICE, b"done"]
        assert len(addresses) == 5


@WORKERS
async def test_heartbeats_consist_of_the_command_only(open_server, connect, says) -> None:
    async with open_server(heartbeat=0.2) as server:
        worker = connect(server.backend)
        worker.send(*says.ready())
        started = trio.current_time()
        for _ in range(2):
            assert await worker.receive() == says.beat()
        assert trio.current_time() - started > 0.3
        worker.send(*says.beat())
        assert await worker.receive() == says.beat()


@WORKERS
async def test_disconnect_consists_of_the_command_only(open_server, connect, says) -> None:
    async with open_server() as server:
        worker = connect(server.backend)
        worker.send(*says.beat())  # before READY
        assert await worker.receive() == says.bye()
        assert await worker.hears_nothing()


@WORKERS
async def test_a_broker_that_ends_disconnects_its_workers(open_server, connect, says) -> None:
    worker = None
    async with open_server() as server:
        worker = connect(server.backend)
        worker.send(*says.ready())
        await until_served(server)
    assert await worker.receive_other(says.beat()) == says.bye()


@WORKERS
@pytest.mark.parametrize("dialect", CLIENTS)
async def test_replies_as_a_client_receives_them(open_server, connect, says, dialect) -> None:
    request, reply, partial = CLIENTS[dialect]
    async with open_server() as server:
        worker, client = connect(server.backend), connect(server.endpoint)
        worker.send(*says.ready())
        await until_served(server)
        client.send(*request, SERVICE, b"white")
        address = (await worker.receive_other(says.beat()))[len(says.start) + 1]
        if partial is not None and says is not RFC7:
            worker.send(*says.start, b"\x03", address, b"", b"first", b"half")
            frames = await client.receive()
            at = frames.index(b"MDPC02") + 1
            assert frames[at] == partial
            assert frames[:at] + frames[at + 1 :] == [
                frame for frame in reply if frame not in (b"\x03", b"\x04")
            ] + [b"first", b"half"]
        worker.send(*says.start, says.final, address, b"", b"last", b"", b"half")
        assert await client.receive() == [*reply, b"last", b"", b"half"]
        assert await client.hears_nothing(0.05)


@pytest.mark.parametrize("request_frames", [[b"MDPC01"], [b"MDPC02", b"\x01"]], ids=["01", "02"])
async def test_a_req_socket_adds_the_delimiter_itself(open_server, connect, request_frames) -> None:
    async with open_server() as server:
        worker, client = connect(server.backend), connect(server.endpoint, zmq.REQ)
        worker.send(*RFC18.ready())
        await until_served(server)
        client.send(*request_frames, SERVICE, b"white")
        address = (await worker.receive_other(RFC18.beat()))[2]
        worker.send(b"MDPW02", b"\x04", address, b"", b"cup")
        reply = await client.receive()
        assert reply[-2:] == [SERVICE, b"cup"]
        assert reply[0] == request_frames[0]


async def test_mmi_follows_rfc_8(open_server, connect) -> None:
    async with open_server() as server:
        client = connect(server.endpoint)
        client.send(b"", b"MDPC01", b"mmi.service", SERVICE)
        assert await client.receive() == [b"", b"MDPC01", b"mmi.service", b"404"]
        client.send(b"MDPC02", b"\x01", b"mmi.service", SERVICE)
        assert await client.receive() == [b"MDPC02", b"\x03", b"mmi.service", b"404"]
        client.send(b"", b"MDPC02", b"\x02", b"mmi.nothing", b"")
        assert await client.receive() == [b"", b"MDPC02", b"\x04", b"501"]


#: The replies of mmi.service, step by step, while one worker lives.
async def ask(client, dialect: str) -> bytes:
    client.send(*CLIENTS[dialect][0], b"mmi.service", SERVICE)
    return (await client.receive())[-1]


@pytest.mark.slow
@pytest.mark.parametrize("dialect", CLIENTS)
async def test_mmi_reports_whether_a_worker_is_available(open_server, connect, dialect) -> None:
    async with open_server(heartbeat=0.2, mdp_silence=0.6) as server:
        worker, client = connect(server.backend), connect(server.endpoint)
        assert await ask(client, dialect) == b"404"  # never offered
        client.send(*CLIENTS[dialect][0], SERVICE, b"who?")  # only requested so far
        assert await ask(client, dialect) == b"404"
        worker.send(*RFC18.ready())
        address = (await worker.receive_other(RFC18.beat()))[2]
        assert await ask(client, dialect) == b"200"  # busy
        worker.send(b"MDPW02", b"\x04", address, b"", b"me")
        await client.receive()
        assert await ask(client, dialect) == b"200"  # waiting
        worker.send(*RFC18.bye())
        with trio.fail_after(5):
            while await ask(client, dialect) == b"200":
                await trio.sleep(0.01)
        worker.send(*RFC18.ready())
        await until_served(server)
        with trio.fail_after(5):  # it becomes silent
            while await ask(client, dialect) == b"200":
                await trio.sleep(0.05)


async def test_one_socket_may_serve_both_roles(open_server, connect) -> None:
    """RFC 7: a broker MAY use a single socket."""
    async with open_server(one_socket=True) as server:
        worker, client = connect(server.endpoint), connect(server.endpoint)
        worker.send(*RFC7.ready())
        await until_served(server)
        client.send(b"", b"MDPC01", SERVICE, b"white")
        address = (await worker.receive_other(RFC7.beat()))[3]
        worker.send(*RFC7.start, RFC7.final, address, b"", b"cup")
        assert await client.receive() == [b"", b"MDPC01", SERVICE, b"cup"]


async def test_any_two_free_ports_are_not_the_same_port(open_server) -> None:
    async with open_server() as server:
        assert server.endpoint != server.backend
