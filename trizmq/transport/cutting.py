"""Closing one peer's connection, for which libzmq has no call."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["cut"]


def cut(frame: zmq.Frame, endpoints: Sequence[str]) -> bool:
    """Close the connection that ``frame`` came by, if it is still there; tell whether it was.

    The frame knows only the descriptor. Its connection may have ended meanwhile, and the number
    may be that of another one, or of a file: so it must be bound at one of ``endpoints``, where
    this end listens, and lead to where the frame came from. If it then still is another one, it is
    of the same machine, and connects anew.
    """
    try:
        # A copy: libzmq closes its own. What is shut down is the connection behind both.
        with socket.socket(fileno=os.dup(frame.get(zmq.SRCFD))) as connection:
            if _is_it(connection, str(frame.get("Peer-Address")), endpoints):
                connection.shutdown(socket.SHUT_RDWR)
                return True
    except (OSError, zmq.ZMQError):
        pass  # no descriptor, no socket, not connected: it has ended by itself
    return False


def _is_it(connection: socket.socket, peer: str, endpoints: Sequence[str]) -> bool:
    here = connection.getsockname()
    if connection.family == getattr(socket, "AF_UNIX", None):  # which Windows lacks
        return f"ipc://{os.fsdecode(here)}" in endpoints
    there = connection.getpeername()[0].removeprefix("::ffff:")
    is_from_there = there == peer.strip("[]").removeprefix("::ffff:")
    return is_from_there and any(one.endswith(f":{here[1]}") for one in endpoints)
