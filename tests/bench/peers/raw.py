"""A bare loop of pyzmq, ROUTER and DEALER, with orjson: no library, no tasks."""

from __future__ import annotations

import sys

import orjson
import zmq

from .users import TOKEN, handle, read, ready
from .window_load import obey

GET = {"method": "GET", "path": "/users/1", "token": TOKEN}
ECHO = {"method": "POST", "path": "/echo", "token": TOKEN}


def serve():
    router = zmq.Context().socket(zmq.ROUTER)
    router.bind("tcp://127.0.0.1:*")
    ready(router.getsockopt(zmq.LAST_ENDPOINT).decode())
    while True:
        peer, request = router.recv(), orjson.loads(router.recv())
        method, path, token = request["method"], request["path"], request["token"]
        body = router.recv(copy=False) if method == "POST" else b""
        router.send(peer, zmq.SNDMORE)
        router.send(handle(method, path, token, body), copy=method != "POST")


context = zmq.Context()
context.set(zmq.MAX_SOCKETS, 4096)


class Connection:
    def __init__(self):
        self._dealer = context.socket(zmq.DEALER)
        self._dealer.connect(sys.argv[2])

    def send_get(self):
        self._dealer.send(orjson.dumps(GET))

    def receive_get(self):
        read(self._dealer.recv())

    def send_echo(self, body):
        self._dealer.send(orjson.dumps(ECHO), zmq.SNDMORE)
        self._dealer.send(body, copy=False)

    def receive_echo(self):
        self._dealer.recv(copy=False)


serve() if sys.argv[1] == "serve" else obey(Connection)
