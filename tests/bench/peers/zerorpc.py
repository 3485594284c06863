"""zerorpc, on gevent: a task for each call in flight, on one connection."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402 (gevent must come first)
from contextlib import contextmanager  # noqa: E402

import gevent  # noqa: E402
import zerorpc  # noqa: E402

from .thread_load import obey  # noqa: E402
from .users import TOKEN, free_port, handle, measure, read, ready  # noqa: E402


class Users:
    def handle(self, *request):
        return handle(*request)


def serve():
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    server = zerorpc.Server(Users())
    server.bind(endpoint)
    ready(endpoint)
    server.run()


class Connection:
    def __init__(self, client):
        self._client = client

    def get(self):
        read(self._client.handle("GET", "/users/1", TOKEN))

    def echo(self, body):
        measure(self._client.handle("POST", "/echo", TOKEN, body), body)


@contextmanager
def connect():
    client = zerorpc.Client(sys.argv[2])
    yield Connection(client)
    client.close()


def readline():
    # In one of gevent's own threads: no heartbeats are sent while the hub itself waits.
    return gevent.get_hub().threadpool.apply(sys.stdin.readline)


serve() if sys.argv[1] == "serve" else obey(connect, readline)
