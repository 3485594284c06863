"""A client that reads one part of the stream TARGET at ENDPOINT, prints it, and reads no more."""

import sys

import trio

import trizmq


async def main(endpoint: str, target: str) -> None:
    async with (
        trizmq.open_client(endpoint) as client,
        client.stream("GET", target) as response,
    ):
        print(await anext(response), flush=True)
        await trio.sleep_forever()


trio.run(main, sys.argv[1], sys.argv[2])
