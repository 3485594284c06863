"""PyPI's pyzmq-mdp (MDP 0.1) as the broker: ENDPOINT."""

import sys

import old_pyzmq  # type: ignore[import-not-found]  # noqa: F401 (beside this; before mdp)
import zmq
from mdp.broker import MDPBroker
from tornado.ioloop import IOLoop  # type: ignore[import-not-found]  # nox brings it

loop = IOLoop.current()
broker = MDPBroker(zmq.Context(), sys.argv[1])
loop.start()
