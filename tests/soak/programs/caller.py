"""Make calls at a steady rate, and log the outcome of each: ENDPOINTS RATE SECONDS DEADLINE.

Every second call is plain. The outcomes go to the file that SOAK_OUTCOMES names, one line of JSON
for each.
"""

import json
import os
import sys
import time
from pathlib import Path

import trio

import trizmq

endpoints, rate, seconds, deadline = sys.argv[1], *map(float, sys.argv[2:])


async def call(client, method, call_id):
    outcome = {"id": call_id, "method": method, "start": time.monotonic()}
    try:
        with trio.fail_after(deadline):
            response = await client.request(method, f"/soak/job/{call_id}")
    except trio.TooSlowError:
        outcome |= {"kind": "deadline", "executed": "maybe"}
    except trizmq.CallError as error:
        outcome |= {"kind": type(error).__name__, "executed": error.executed}
    else:
        outcome |= read(response, call_id)
    print(json.dumps(outcome | {"end": time.monotonic()}), file=outcomes, flush=True)


def read(response, call_id):
    if response.status == 200:
        return {"kind": "200", "executed": "yes", "right": response.json() == {"id": call_id}}
    return {"kind": str(response.status), "executed": response.json()["executed"]}


async def main():
    async with trizmq.open_client(endpoints) as client, trio.open_nursery() as nursery:
        (await client.get("/soak/job/first")).raise_for_status()
        print("ready", flush=True)
        started = trio.current_time()
        for number in range(int(rate * seconds)):
            await trio.sleep_until(started + number / rate)
            method = ("GET", "POST")[number % 2]
            nursery.start_soon(call, client, method, f"{method.lower()}-{number}")


with Path(os.environ["SOAK_OUTCOMES"]).open("w") as outcomes:
    trio.run(main)
