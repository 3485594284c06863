"""Replacements for parts of old pyzmq versions that pyzmq-mdp (2013) needs, based on tornado.

Import it before `mdp`. The code of pyzmq-mdp itself is unchanged.
"""

import sys
import types
from typing import Any

from tornado.ioloop import (  # type: ignore[import-not-found]  # nox brings it
    IOLoop,
    PeriodicCallback,
)


class DelayedCallback:
    """Calls once, this many milliseconds after `start`."""

    def __init__(self, callback: Any, milliseconds: int) -> None:
        self._callback, self._seconds = callback, milliseconds / 1000

    def start(self) -> None:
        IOLoop.current().call_later(self._seconds, self._callback)


ioloop: Any = types.ModuleType("zmq.eventloop.ioloop")
ioloop.IOLoop, ioloop.PeriodicCallback = IOLoop, PeriodicCallback
ioloop.DelayedCallback = DelayedCallback
sys.modules["zmq.eventloop.ioloop"] = ioloop
