"""Call a service with PyPI's pyzmq-mdp (MDP 0.1): ENDPOINT SERVICE BODY COUNT; replies to stdout.

On Python 3, the package needs a replacement for a class that pyzmq no longer has.
"""

import sys
import types
from typing import Any

ioloop: Any = types.ModuleType("zmq.eventloop.ioloop")
ioloop.IOLoop = ioloop.DelayedCallback = ioloop.PeriodicCallback = object
zmqstream: Any = types.ModuleType("zmq.eventloop.zmqstream")
zmqstream.ZMQStream = object
sys.modules["zmq.eventloop.ioloop"] = ioloop
sys.modules["zmq.eventloop.zmqstream"] = zmqstream

import zmq  # noqa: E402  (after the replacement)
from mdp.client import mdp_request  # noqa: E402

endpoint, service, body, count = sys.argv[1:]
context = zmq.Context()
socket = context.socket(zmq.REQ)
socket.connect(endpoint)
for _ in range(int(count)):
    name = service.encode()
    reply = mdp_request(socket, name, [body.encode()], timeout=10.0)
    assert reply is not None, "timed out"
    assert reply[0] == name, reply
    print(b"".join(reply[1:]).decode(), flush=True)
context.destroy(linger=0)
