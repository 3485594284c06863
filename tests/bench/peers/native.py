"""A client that costs next to nothing: it sends calls encoded beforehand, and counts responses.

It shows what the server can do if the client does not slow it down.
"""

from __future__ import annotations

import os
import sys
from itertools import cycle
from pathlib import Path

import zmq

from trizmq.wire import native
from trizmq.wire.items import VERSION, Call, Heartbeat, Hello

from .users import read
from .window_load import obey

TOKEN = Path(os.environ["TRIZMQ_STATE_DIR"], "admin-token").read_text().strip()
HEADERS = {"authorization": f"Bearer {TOKEN}"}
(HEARTBEAT,) = native.encode([Heartbeat()])

#: The number of ids before they repeat, which is far more than are ever in flight.
IDS = 4096

#: The number of calls in one message, so that four messages keep 64 calls in flight.
BATCH = 16


def written(ids):
    (frame,) = native.encode([Call(i, 30_000, "GET", "/users/1", HEADERS, b"") for i in ids])
    return frame


BATCHES = [written(range(i, i + BATCH)) for i in range(0, IDS, BATCH)]
LONE = [written([i]) for i in range(IDS)]


def items(frame):
    """Return the number of items in a message, from the head of its msgpack array."""
    return frame[0] & 0x0F if frame[0] < 0xA0 else int.from_bytes(frame[1:3], "big")


context = zmq.Context()
context.set(zmq.MAX_SOCKETS, 4096)


class Connection:
    def __init__(self):
        self._dealer = context.socket(zmq.DEALER)
        self._dealer.connect(sys.argv[2])
        self._dealer.send(*native.encode([Hello(VERSION, "bench")]))
        self._batches, self._lone = cycle(BATCHES), cycle(LONE)
        self._here = 0
        self._next()
        self.send_lone()
        (response,) = native.decode([self._next()])
        read(response.body)

    def _next(self):
        while (frame := self._dealer.recv()) == HEARTBEAT:
            pass
        return frame

    def send_batch(self):
        self._dealer.send(next(self._batches))

    def receive_batch(self):
        self._receive(BATCH)

    def send_lone(self):
        self._dealer.send(next(self._lone))

    def receive_lone(self):
        self._receive(1)

    def _receive(self, count):
        while self._here < count:
            self._here += items(self._next())
        self._here -= count


obey(Connection)
