"""A client of the Majordomo Protocol 0.2: a DEALER, and frames as RFC 18 has them."""

from __future__ import annotations

import sys

import zmq

from .users import read
from .window_load import obey


class Connection:
    def __init__(self):
        self._dealer = zmq.Context().socket(zmq.DEALER)
        self._dealer.connect(sys.argv[2])

    def send_get(self):
        self._dealer.send(b"MDPC02", zmq.SNDMORE)
        self._dealer.send(b"\x01", zmq.SNDMORE)
        self._dealer.send(b"lookup", zmq.SNDMORE)
        self._dealer.send(b"1")

    def receive_get(self):
        *_, body = (self._dealer.recv() for _ in range(4))
        read(body)


obey(Connection)
