"""RPyC: its threaded server, and calls made with `async_` on one connection."""

from __future__ import annotations

import sys
from collections import deque

import rpyc
from rpyc.utils.server import ThreadedServer

from .users import TOKEN, handle, measure, read, ready
from .window_load import obey


class Users(rpyc.Service):
    def exposed_handle(self, *request):
        return handle(*request)


def serve():
    server = ThreadedServer(Users, hostname="127.0.0.1", port=0)
    ready(f"tcp://127.0.0.1:{server.port}")
    server.start()


class Connection:
    def __init__(self):
        host, _, port = sys.argv[2].removeprefix("tcp://").partition(":")
        self._connection = rpyc.connect(host, int(port))
        self._handle = rpyc.async_(self._connection.root.handle)
        self._sent = deque()

    def send_get(self):
        self._sent.append((self._handle("GET", "/users/1", TOKEN), b""))

    def receive_get(self):
        result, _ = self._sent.popleft()
        read(result.value)

    def send_echo(self, body):
        self._sent.append((self._handle("POST", "/echo", TOKEN, body), body))

    def receive_echo(self):
        result, body = self._sent.popleft()
        measure(result.value, body)


serve() if sys.argv[1] == "serve" else obey(Connection)
