"""A test can set the principal, with the same effect as an auth plugin."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trizmq
from trizmq import Client, Principal, Router
from trizmq.testing import as_principal, open_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import ModuleType

ADA = Principal("ada", frozenset({"notes:write"}))
EVE = Principal("eve ünïcode/%,", frozenset({"a b", "*"}))


@pytest.fixture
def notes(make_plugin: Callable[..., ModuleType]) -> ModuleType:
    routes = Router("/notes")

    @routes.get("")
    async def whoami(principal: Principal | None) -> Any:
        return [principal.name, sorted(principal.scopes)] if principal else []

    @routes.post("", scopes="notes:write")
    async def write(principal: Principal) -> Any:
        return principal.name

    @routes.get("/public", public=True)
    async def public(principal: Principal | None) -> Any:
        return principal.name if principal else "nobody"

    return make_plugin("notes", register_routes=routes)


@pytest.fixture
async def client(notes: ModuleType) -> AsyncIterator[Client]:
    async with open_app(plugins=[notes], principal=ADA) as client:
        yield client


async def test_every_call_is_of_the_principal(client: Client) -> None:
    assert (await client.get("/notes")).json() == ["ada", ["notes:write"]]
    assert (await client.post("/notes")).json() == "ada"


async def test_one_call_is_of_another(client: Client) -> None:
    response = await client.get("/notes", headers=as_principal(EVE))
    assert response.json() == ["eve ünïcode/%,", ["*", "a b"]]
    assert (await client.get("/notes", headers=as_principal(None))).json() == []
    assert (await client.get("/notes")).json() == ["ada", ["notes:write"]]


async def test_without_a_principal_calls_are_anonymous(notes: ModuleType) -> None:
    async with open_app(plugins=[notes]) as client:
        assert (await client.get("/notes")).json() == []
        assert (await client.post("/notes")).status == 401
        assert (await client.post("/notes", headers=as_principal(ADA))).json() == "ada"


async def test_the_auth_plugin_holds_them_to_their_scopes(notes: ModuleType) -> None:
    async with open_app(plugins=[notes, "auth"], principal=Principal("bob")) as client:
        assert (await client.get("/notes")).json() == ["bob", []]
        assert (await client.get("/auth/whoami")).json() == {"principal": "bob", "scopes": []}
        assert (await client.post("/notes")).status == 403
        assert (await client.post("/notes", headers=as_principal(ADA))).json() == "ada"
        assert (await client.get("/notes", headers=as_principal(None))).status == 401
        nobody = await client.get("/notes/public", headers=as_principal(None))
        assert nobody.json() == "nobody"


async def test_the_fixture_takes_one_too(
    trizmq_app: Callable[..., Awaitable[Client]], notes: ModuleType
) -> None:
    client = await trizmq_app(notes, principal=ADA)
    assert (await client.get("/notes")).json() == ["ada", ["notes:write"]]


async def test_other_brokers_ignore_the_header(notes: ModuleType) -> None:
    async with trio.open_nursery() as nursery:
        serving = partial(trizmq.serve, plugins=[notes], bind="tcp://127.0.0.1:*")
        async with trizmq.open_client(await nursery.start(serving)) as client:
            assert (await client.get("/notes", headers=as_principal(ADA))).json() == []
        nursery.cancel_scope.cancel()
