"""PyPI's pyzmq-mdp (MDP 0.1) as a worker: ENDPOINT SERVICE. Replies with the request."""

import sys

import old_pyzmq  # type: ignore[import-not-found]  # noqa: F401 (beside this; before mdp)
import zmq
from mdp.worker import MDPWorker
from tornado.ioloop import IOLoop  # type: ignore[import-not-found]  # nox brings it


class Echo(MDPWorker):  # type: ignore[misc]  # which has no types
    def on_request(self, msg: list[bytes]) -> None:
        self.reply(msg)


loop = IOLoop.current()
worker = Echo(zmq.Context(), sys.argv[1], sys.argv[2].encode())
loop.start()
