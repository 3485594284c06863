"""The service for peers that bring none: a token check, and a route with a number in it."""

from __future__ import annotations

import socket

import orjson

TOKEN = "5b0a7f6c2d"
USERS = {1: {"id": 1, "name": "August"}}
PRINCIPALS = {TOKEN: "bench"}


def handle(method, path, token, body=b""):
    """Return the body of the response: JSON for a user, the body itself for an echo."""
    check(token)
    _, service, *rest = path.split("/")
    if (method, service) == ("GET", "users"):
        return orjson.dumps(USERS[int(rest[0])])
    if (method, service) == ("POST", "echo"):
        return body
    raise LookupError(path)


def check(token):
    if token not in PRINCIPALS:
        raise PermissionError(token)


def read(body):
    """Decode a user, and compare it with the requested one."""
    user = orjson.loads(body)
    if user.get("name") != "August":
        raise ValueError(body)


def measure(body, sent):
    """Compare a response with the request."""
    if len(body) != len(sent):
        raise ValueError(len(body))


def ready(endpoint):
    print(f"ready on {endpoint}", flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
