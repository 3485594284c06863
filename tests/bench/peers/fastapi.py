"""FastAPI, as in its documentation."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request, Response

from .asgi import main
from .users import USERS, check


async def known(authorization: Annotated[str, Header()]):
    check(authorization)


app = FastAPI(dependencies=[Depends(known)])


@app.get("/users/{user_id}")
async def get_user(user_id: int):
    return USERS[user_id]


@app.post("/echo")
async def echo(request: Request):
    return Response(await request.body())


main(app)
