"""Handlers that log what they do, in the file that SOAK_LOG names."""

import os
import time

import trio

import trizmq

routes = trizmq.Router()
log = os.open(os.environ["SOAK_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@routes.get("/soak/job/{call_id}")
@routes.post("/soak/job/{call_id}")
async def work(call_id: str) -> dict[str, str]:
    # A single write, so that the line outlives this process, however that ends.
    os.write(log, f"{call_id} {os.getpid()} {time.monotonic()}\n".encode())
    await trio.sleep(0.01)
    return {"id": call_id}


@routes.get("/soak/block/{seconds:int}")
async def block(seconds: int) -> str:
    """Block the event loop of this process, as handlers should not."""
    time.sleep(seconds)  # noqa: ASYNC251
    return "done"


@routes.get("/soak/large")
def large() -> bytes:
    return bytes(1_000_000)


@routes.post("/soak/store")
async def store(body: bytes) -> int:
    return len(body)


@trizmq.hookimpl
def trizmq_register_routes() -> trizmq.Router:
    return routes
