"""A plugin for trizmq: a user by number in the body, because MDP has no path for it."""

from __future__ import annotations

import trizmq

from .users import USERS

routes = trizmq.Router()


@routes.post("/lookup")
async def look_up(body: bytes) -> dict:
    return USERS[int(body)]


@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes
