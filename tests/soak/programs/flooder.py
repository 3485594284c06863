"""Call at a steady rate, without waiting: ENDPOINT DIALECT RATE SECONDS DEADLINE ENVELOPES.

A call without a response by its deadline is abandoned. Prints one line of JSON: the number of
calls with each outcome, the latencies of responses in time, and those of refusals.
"""

import json
import sys
import time

import zmq

from trizmq.wire import native
from trizmq.wire.items import VERSION, Call, Cancel, Heartbeat, Hello, Response

endpoint, dialect = sys.argv[1:3]
rate, seconds, deadline = map(float, sys.argv[3:6])
envelopes = int(sys.argv[6]) if len(sys.argv) > 6 else 0

socket = zmq.Context().socket(zmq.DEALER)
socket.linger = 0
socket.sndhwm = socket.rcvhwm = 0
socket.connect(endpoint)
asked: dict[int, float] = {}
waiting: dict[int, None] = {}  # in the order of their deadlines
outcomes: dict[str, int] = {}
good: list[float] = []
refused: list[float] = []


def ask(number):
    path = f"/slow/{number}"
    if dialect == "native":
        call = Call(number, int(deadline * 1000), "GET", path, {}, b"")
        socket.send_multipart(native.encode([call]))
    elif dialect == "plain":
        who = b"%d" % (number % envelopes if envelopes else number)
        head = {"path": path, "timeout": deadline}
        socket.send_multipart([b"%d" % number, who, b"", json.dumps(head).encode()])
    else:
        socket.send_multipart([b"MDPC02", b"\x01", f"GET {path}".encode(), b""])


def answers(frames):
    """Yield (number, status) of each response in a message."""
    if dialect == "native":
        for item in native.decode(frames):
            if isinstance(item, Response):
                yield item.id, item.status
    elif dialect == "plain":
        yield int(frames[0]), json.loads(frames[3])["status"]
    else:
        number = int(frames[2].rpartition(b"/")[2])
        body = json.loads(frames[3])
        yield number, body["status"] if isinstance(body, dict) else 200


def take(now):
    while True:
        try:
            frames = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        for number, status in answers(frames):
            if waiting.pop(number, 0) is None:
                latency = now - asked[number]
                outcomes[str(status)] = outcomes.get(str(status), 0) + 1
                if status == 200:
                    good.append(latency)
                elif status in (429, 503):
                    refused.append(latency)


def give_up(now):
    while waiting:
        number = next(iter(waiting))
        if asked[number] + deadline > now:
            return
        del waiting[number]
        outcomes["late"] = outcomes.get("late", 0) + 1
        if dialect == "native":
            socket.send_multipart(native.encode([Cancel(number)]))


if dialect == "native":
    socket.send_multipart(native.encode([Hello(VERSION, "flooder")]))
    socket.recv_multipart()
started = beat = time.monotonic()
number = 0
while (now := time.monotonic()) < started + seconds + deadline and (
    waiting or now < started + seconds
):
    while now < started + seconds and started + number / rate <= now:
        asked[number] = now
        waiting[number] = None
        ask(number)
        number += 1
    if dialect == "native" and now > beat + 1:
        beat = now
        socket.send_multipart(native.encode([Heartbeat()]))
    take(now)
    give_up(now)
    socket.poll(1)
give_up(float("inf"))
good.sort()
refused.sort()
report = {
    "asked": number,
    "outcomes": outcomes,
    "good": len(good),
    "p50": round(good[len(good) // 2], 4) if good else None,
    "p99": round(good[len(good) * 99 // 100], 4) if good else None,
    "refused": len(refused),
    "refusal_p99": round(refused[len(refused) * 99 // 100], 4) if refused else None,
}
print(json.dumps(report), flush=True)
