"""A client that requests large responses and never reads one: ENDPOINT DIALECT COUNT."""

import json
import sys
import time

import zmq

from trizmq.wire import native
from trizmq.wire.items import VERSION, Call, Hello

endpoint, dialect, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
socket = zmq.Context().socket(zmq.DEALER)
socket.rcvhwm = 1
socket.connect(endpoint)
PATH = "/soak/large"


def native_calls():
    yield native.encode([Hello(VERSION, "hoarder")])
    for number in range(1, count + 1):
        yield native.encode([Call(number, 60_000, "GET", PATH, {}, b"")])


def plain_calls():
    for number in range(count):
        yield [str(number).encode(), b"", json.dumps({"path": PATH}).encode()]


def mdp02_calls():
    for _ in range(count):
        yield [b"MDPC02", b"\x01", f"GET {PATH}".encode(), b""]


for frames in {"native": native_calls, "plain": plain_calls, "mdp02": mdp02_calls}[dialect]():
    socket.send_multipart(frames)
print("ready", flush=True)
time.sleep(60)
