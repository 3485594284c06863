"""The Majordomo Protocol 0.2 on bare sockets: exactly the frames of RFC 18."""

from __future__ import annotations

import sys
from time import monotonic

import orjson
import zmq

from .users import USERS, read, ready
from .window_load import obey

READY, REQUEST, FINAL, HEARTBEAT = b"\x01", b"\x02", b"\x04", b"\x05"

#: A worker has one request at a time, so one process has this many workers.
WORKERS = 16
BEAT = 0.5

context = zmq.Context()


def dealer(endpoint):
    socket = context.socket(zmq.DEALER)
    socket.connect(endpoint)
    return socket


def work(endpoint):
    poller = zmq.Poller()
    workers = [dealer(endpoint) for _ in range(WORKERS)]
    for worker in workers:
        worker.send_multipart([b"MDPW02", READY, b"lookup"])
        poller.register(worker, zmq.POLLIN)
    ready(endpoint)
    beat_at = monotonic()
    while True:
        for worker, _ in poller.poll(1000 * BEAT):
            reply(worker)
        if monotonic() > beat_at:
            beat_at = monotonic() + BEAT
            for worker in workers:
                worker.send_multipart([b"MDPW02", HEARTBEAT])


def reply(worker):
    # Frame by frame, because their number is known: half the cost of `recv_multipart`.
    _, command = worker.recv(), worker.recv()
    if command == REQUEST:
        address, _, body = worker.recv(), worker.recv(), worker.recv()
        for frame in (b"MDPW02", FINAL, address, b""):
            worker.send(frame, zmq.SNDMORE)
        worker.send(orjson.dumps(USERS[int(body)]))


class Connection:
    def __init__(self):
        self._dealer = dealer(sys.argv[2])

    def send_get(self):
        self._dealer.send(b"MDPC02", zmq.SNDMORE)
        self._dealer.send(b"\x01", zmq.SNDMORE)
        self._dealer.send(b"lookup", zmq.SNDMORE)
        self._dealer.send(b"1")

    def receive_get(self):
        *_, body = (self._dealer.recv() for _ in range(4))
        read(body)


work(sys.argv[2]) if sys.argv[1] == "work" else obey(Connection)
