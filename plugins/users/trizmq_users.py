"""An example plugin that keeps users in memory. Copy and change it to write your own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import msgspec

from trizmq import Headers, HTTPError, Response, Router, hookimpl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class User(msgspec.Struct):
    id: int
    name: str


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Users(dict[int, User]):
    """All users, by id; `trizmq_lifespan` creates it."""


routes = Router("/users")


@routes.get("")
async def list_users(users: Users) -> list[User]:
    """List all users."""
    return list(users.values())


@routes.get("/{user_id:int}")
async def get_user(user_id: int, users: Users) -> User | None:
    """Get one user."""
    return users.get(user_id)  # None: 404


@routes.post("")
async def add_user(new: NewUser, users: Users) -> Response:
    """Add a user; the server chooses the id."""
    user = User(max(users, default=0) + 1, new.name)
    users[user.id] = user
    return Response(201, Headers({"location": f"/users/{user.id}"}), json=user)


@routes.delete("/{user_id:int}")
async def remove_user(user_id: int, users: Users) -> None:
    """Remove a user permanently."""
    if users.pop(user_id, None) is None:
        raise HTTPError(404, f"there is no user {user_id}")


@hookimpl
def trizmq_register_routes() -> Router:
    return routes


@hookimpl
@asynccontextmanager
async def trizmq_lifespan() -> AsyncIterator[Users]:
    yield Users({1: User(1, "August")})
