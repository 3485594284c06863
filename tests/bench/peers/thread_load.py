"""Carry orders out with threads, or with gevent's replacement for them."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from itertools import cycle
from threading import Thread
from time import perf_counter

from .orders import Log, read_order


def obey(connect, readline=sys.stdin.readline):
    """Carry out orders, over connections made by ``connect``, until there are no more."""
    connections = []
    with ExitStack() as stack:
        while line := readline():
            order = read_order(line)
            while len(connections) < order.connections:
                connections.append(stack.enter_context(connect()))
            _run(order, connections).answer()


def _run(order, connections):
    log = Log(order)
    shares = [order.share(connections, i) for i in range(order.tasks)]
    threads = [Thread(target=_call, args=(order, share, log), daemon=True) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not log.latencies and order.tasks:
        raise SystemExit("no call was answered")
    return log


def _call(order, connections, log):
    calls = cycle([getattr(connection, order.call) for connection in connections])
    while (began := perf_counter()) < log.ends_at:
        next(calls)(*order.arguments)
        log.note(began)
