"""What pyzmq-mdp (2013) wants of the pyzmq of its time, by way of tornado.

Import it before `mdp`. Of its own code nothing is replaced.
"""

import sys
import types
from typing import Any

from tornado.ioloop import (  # type: ignore[import-not-found]  # nox brings it
    IOLoop,
    PeriodicCallback,
)


class DelayedCallback:
    """Calls once, so many milliseconds after `start`."""

    def __init__(self, callback: Any, milliseconds: int) -> None:
        self._callback, self._seconds = callback, milliseconds / 1000

    def start(self) -> None:
        IOLoop.current().call_later(self._seconds, self._callback)


ioloop: Any = types.ModuleType("zmq.eventloop.ioloop")
ioloop.IOLoop, ioloop.PeriodicCallback = IOLoop, PeriodicCallback
ioloop.DelayedCallback = DelayedCallback
sys.modules["zmq.eventloop.ioloop"] = ioloop
