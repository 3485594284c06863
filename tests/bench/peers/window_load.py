"""Carry orders out without tasks: a window of calls on blocking connections."""

from __future__ import annotations

import sys
from collections import deque
from itertools import cycle
from time import perf_counter

from .orders import Log, read_order


def obey(connect):
    """Carry out orders, over connections made by ``connect``, until there are no more.

    They have a pair of methods for each call, such as ``send_get`` and ``receive_get``.
    """
    connections = []
    for line in sys.stdin:
        order = read_order(line)
        while len(connections) < order.connections:
            connections.append(connect())
        _run(order, connections[: order.connections]).answer()


def _run(order, connections):
    ends = [[getattr(c, f"{end}_{order.call}") for end in ("send", "receive")] for c in connections]
    log, sent, ends = Log(order), deque(), cycle(ends)

    def call():
        send, receive = next(ends)
        sent.append((receive, perf_counter()))
        send(*order.arguments)

    for _ in range(order.tasks):
        call()
    while sent:
        # The oldest: waiting for it delays no other response that has arrived.
        receive, began = sent.popleft()
        receive()
        log.note(began)
        if perf_counter() < log.ends_at:
            call()
    return log
