"""Post bodies all at once, and print how the calls ended: ENDPOINT COUNT SIZE DEADLINE."""

import sys
from collections import Counter

import trio

import trizmq

endpoint, count, size, deadline = sys.argv[1], *map(int, sys.argv[2:])
ends = Counter()


async def post(client):
    try:
        with trio.fail_after(deadline):
            response = await client.post("/soak/store", body=bytes(size))
        ends[response.status] += 1
    except (trio.TooSlowError, trizmq.CallError) as error:
        ends[type(error).__name__] += 1


async def main():
    async with trizmq.open_client(endpoint) as client:
        while not client.is_connected:  # before that, it limits the bodies that it holds itself
            await trio.sleep(0.01)
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(post, client)


trio.run(main)
print(dict(ends))
