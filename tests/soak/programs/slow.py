"""A plugin whose calls take 20 ms each."""

import trio

import trizmq

routes = trizmq.Router()


@routes.get("/slow/{number:int}")
async def slow(number: int) -> int:
    await trio.sleep(0.02)
    return number


@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes
