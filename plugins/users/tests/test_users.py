"""The users plugin as described in its README, with a client and a server in memory."""

from __future__ import annotations

import pytest

from trizmq.testing import open_app


async def test_there_is_august() -> None:
    async with open_app(plugins=["users"]) as client:
        assert (await client.get("/users")).json() == [{"id": 1, "name": "August"}]
        assert (await client.get("/users/1")).json() == {"id": 1, "name": "August"}


@pytest.mark.parametrize("path", ["/users/2", "/users/0", "/users/x", "/users/", "/users/1/x"])
async def test_others_are_not_found(path: str) -> None:
    async with open_app(plugins=["users"]) as client:
        assert (await client.get(path)).status == 404


async def test_a_new_user_has_an_id_and_a_location() -> None:
    async with open_app(plugins=["users"]) as client:
        response = await client.post("/users", json={"name": "Ada"})
        assert response.status == 201
        assert response.json() == {"id": 2, "name": "Ada"}
        assert (await client.get(response.headers["location"])).json() == response.json()
        assert len((await client.get("/users")).json()) == 2


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "`name`"),
        ({"nme": "Ada"}, "nme"),
        ({"name": ""}, "$.name"),
        ({"name": 5}, "$.name"),
        ({"name": "a" * 101}, "$.name"),
        ({"name": "Ada", "id": 1}, "id"),
    ],
)
async def test_an_invalid_user_is_refused_with_a_reason(body: object, complaint: str) -> None:
    async with open_app(plugins=["users"]) as client:
        response = await client.post("/users", json=body)
        assert response.status == 422
        assert complaint in response.json()["detail"]
        assert len((await client.get("/users")).json()) == 1


async def test_a_user_is_removed_once() -> None:
    async with open_app(plugins=["users"]) as client:
        assert (await client.delete("/users/1")).status == 204
        assert (await client.delete("/users/1")).status == 404
        assert (await client.get("/users/1")).status == 404
        assert (await client.get("/users")).json() == []
        assert (await client.post("/users", json={"name": "Ada"})).status == 201


async def test_each_start_resets_the_users() -> None:
    for _ in range(2):
        async with open_app(plugins=["users"]) as client:
            assert (await client.post("/users", json={"name": "Ada"})).json()["id"] == 2
