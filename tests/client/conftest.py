"""Rigs for the client's engine with plain numbers for time, and one interface to every client."""

from __future__ import annotations

import datetime  # noqa: TC003 (a handler is annotated with it)
import enum
import http
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import trio

import trizmq
from trizmq.client.engine import Client
from trizmq.client.links import LinkState, Pending
from trizmq.wire.items import VERSION, Hello

if TYPE_CHECKING:
    from trizmq.client.links import Link
    from trizmq.wire.items import Item

ROUTES = trizmq.Router()


class Word(enum.StrEnum):
    ONE = "one"


@ROUTES.post("/test/echo")
async def echo(request: trizmq.Request) -> dict[str, Any]:
    return {
        "query": request.query_items(),
        "headers": request.headers,
        "body": request.body.decode("latin-1"),
    }


@ROUTES.post("/test/length")
async def length(body: bytes) -> int:
    return len(body)


@ROUTES.get("/test/large")
async def large() -> bytes:
    return bytes(20 * 1024 * 1024)


@ROUTES.post("/test/json")
async def json_back(request: trizmq.Request) -> Any:
    return request.json()


@ROUTES.post("/test/left")
async def left(request: trizmq.Request) -> float:
    return request.deadline - trio.current_time()


CANCELLED = trio.Event()


@ROUTES.post("/test/sleep")
async def sleep() -> None:
    try:
        await trio.sleep_forever()
    finally:
        CANCELLED.set()


@ROUTES.post("/test/cancelled")
async def cancelled() -> bool:
    """Wait until a call of /test/sleep has been cancelled."""
    await CANCELLED.wait()
    return True


@ROUTES.get("/test/nan")
async def nan() -> Any:
    return {"a": [math.nan]}


@ROUTES.get("/test/typed")
async def typed(flag: bool, n: int, x: float, day: datetime.date) -> list[Any]:
    return [flag, n, x, day]


class Octets(bytes):
    """A value like those that some libraries use for bytes."""

    def __bytes__(self) -> bytes:
        return b"lie"


@ROUTES.get("/test/octets")
async def octets() -> Any:
    return Octets(b"octets")


@ROUTES.get("/test/response")
async def response() -> Any:
    return trizmq.Response(
        http.HTTPStatus.ACCEPTED, trizmq.Headers({"x-a": Word.ONE}), Octets(b"octets")
    )


@ROUTES.get("/test/words")
async def words() -> Any:
    return {Word.ONE: [Word.ONE]}


class ClientRig:
    """A client's engine with a link for each endpoint, and the calls that have ended so far."""

    def __init__(self, *endpoints: str) -> None:
        self.client = Client(endpoints or ("one",), instance="client", now=0.0)
        self.links = self.client.links.taking
        self.now = 0.0
        self.ended: list[Pending] = []
        self.reopened: list[Link] = []
        self.left: list[Link] = []
        for link in self.links:
            self.connect(link)

    def connect(self, link: Link) -> list[Item]:
        """Make the connection of a link; return what the client sends on it."""
        self.client.connect(link, self.now)
        return self.sent(link)

    def add(self, endpoint: str) -> Link:
        """Add a link, and let a broker send its hello on it."""
        link = self.client.add(endpoint, self.now)
        self.welcome(link)
        return link

    def remove(self, link: Link) -> None:
        self.client.remove(link, self.now)
        self.act()

    def disconnect(self, link: Link) -> None:
        self.client.disconnect(link, self.now)
        self.act()

    def act(self) -> None:
        outbox = self.client.take_outbox()
        self.ended += outbox.ended
        self.reopened += outbox.reopen
        self.left += outbox.left

    def sent(self, link: Link) -> list[Item]:
        """Take what the client sends on ``link``, as the driver does."""
        items = link.outgoing[:]
        link.outgoing.clear()
        return items

    def receive(self, link: Link, *items: Item) -> None:
        self.client.receive(link, items, self.now)
        self.act()

    def welcome(self, *links: Link, credit: int = 10, broker: str = "", **fields: Any) -> None:
        """Let brokers respond to the client's hello, on new connections if necessary."""
        for link in links:
            if link.state is LinkState.CONNECTING:
                self.connect(link)
            name = broker or f"broker {link.endpoint}"
            self.receive(link, Hello(VERSION, name, credit, **fields))

    def restart(self, link: Link, credit: int = 10) -> None:
        """Let the broker die after everything was sent, and a successor send its hello."""
        self.sent(link)
        self.disconnect(link)
        self.welcome(link, credit=credit, broker=f"{link.broker}+")

    def submit(self, method: str = "POST", target: str = "/users", **fields: Any) -> Pending:
        details: dict[str, Any] = {"headers": {}, "body": b""}
        details |= {"deadline": self.now + 30, "is_timed": True} | fields
        pending = Pending(method, target, waiter=lambda: None, **details)
        self.client.submit(pending, self.now)
        self.act()
        return pending

    def lose(self, link: Link) -> None:
        self.client.lose(link, self.now)
        self.act()

    def tick(self, now: float) -> None:
        self.now = now
        self.client.tick(now)
        self.act()

    def pass_time(self, until: float) -> None:
        """Tick whenever the client asks for it, as the driver does."""
        while self.client.next_tick <= until:
            self.tick(max(self.now, self.client.next_tick))
        self.now = until

    def assert_nothing_is_left(self) -> None:
        client = self.client
        assert (client.links.in_flight, client.calls.waiting.count, client.calls.waiting.bytes) == (
            0,
            0,
            0,
        )
        assert client.calls.deadlines._live == 0


class MakeClient(Protocol):
    def __call__(self, *endpoints: str) -> ClientRig: ...


@pytest.fixture
def make_client() -> MakeClient:
    return ClientRig


class AnyClient:
    """The Trio client, `call_many`, and SyncClient, with one interface."""

    def __init__(self, kind: str, client: Any) -> None:
        self.kind, self.client = kind, client

    async def request(self, method: Any, target: Any, **details: Any) -> trizmq.Response:
        if self.kind == "many":
            calls = [("POST", "/test/echo"), (method, target, details)]
            return (await self.client.call_many(calls))[1]
        if self.kind == "sync":
            call = lambda: self.client.request(method, target, **details)  # noqa: E731
            return await trio.to_thread.run_sync(call)
        return await self.client.request(method, target, **details)

    async def post(self, target: Any, **details: Any) -> trizmq.Response:
        return await self.request("POST", target, **details)

    async def lives(self) -> bool:
        """Whether it still works."""
        with trio.fail_after(5):
            return (await self.post("/test/echo")).status == 200


@pytest.fixture
def routes() -> trizmq.Router:
    """The routes of the server of `any_client`."""
    return ROUTES


@pytest.fixture(params=["one", "many", "sync"])
async def any_client(request: Any, serving: Any) -> Any:
    """A client of each kind, connected to a server with /test/echo and /test/json."""
    async with serving(ROUTES) as endpoint:
        if request.param == "sync":
            with trizmq.SyncClient(endpoint) as client:
                yield AnyClient("sync", client)
        else:
            async with trizmq.open_client(endpoint) as client:
                yield AnyClient(request.param, client)


@pytest.fixture
def run_program(serving: Any, routes: Any) -> Any:
    """Run a program whose argument is an endpoint: that of `any_client`'s server, or another.

    Returns its output. Fails if the program hangs, or ends with an error.
    """

    async def run(code: str, endpoint: str = "") -> str:
        if endpoint:
            return await trio.to_thread.run_sync(_run, code, endpoint)
        async with serving(routes) as endpoint:
            return await trio.to_thread.run_sync(_run, code, endpoint)

    return run


def _run(code: str, endpoint: str) -> str:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, endpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout
