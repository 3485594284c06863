"""A client that makes COUNT unanswered calls to ENDPOINT, and reports when they are sent."""

import sys

import trio
import trio.testing

import trizmq


async def main(endpoint: str, count: int) -> None:
    async with trizmq.open_client(endpoint) as client, trio.open_nursery() as nursery:
        await client.get("/test/now")
        for _ in range(count):
            nursery.start_soon(client.get, "/test/forever")
        await trio.testing.wait_all_tasks_blocked(0.02)
        print("out", flush=True)


trio.run(main, sys.argv[1], int(sys.argv[2]))
