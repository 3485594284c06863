"""Starlette, with orjson."""

from __future__ import annotations

import orjson
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from .asgi import main
from .users import USERS, check


async def get_user(request):
    check(request.headers["authorization"])
    body = orjson.dumps(USERS[request.path_params["user_id"]])
    return Response(body, media_type="application/json")


async def echo(request):
    check(request.headers["authorization"])
    return Response(await request.body())


routes = [Route("/users/{user_id:int}", get_user), Route("/echo", echo, methods=["POST"])]
main(Starlette(routes=routes))
