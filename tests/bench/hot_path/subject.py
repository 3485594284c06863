"""A process that measures the trizmq that it imports: `python -m bench.hot_path.subject`.

It first prints whether that is compiled. Then, for each line on stdin, which names a measurement
and a number of passes, it prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

import trio

from trizmq.wire import native

from .client import measure_client, measure_whole_client
from .server import measure_server, measure_whole_server
from .sockets import measure_sockets

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import Costs

__all__ = ["measure"]

#: Passes for one of the sockets, which have to wait for their messages.
SPARING = 20


def measure(passes: int) -> dict[str, Costs]:
    """Return the microseconds per call of every measurement, by its part."""
    return {
        "server": trio.run(measure_server, passes),
        "client": trio.run(measure_client, passes),
        "sockets": trio.run(measure_sockets, passes // SPARING + 1),
    }


def main() -> None:
    print("pure Python" if str(native.__file__).endswith(".py") else "compiled", flush=True)
    for line in sys.stdin:
        what, passes = line.split()
        print(json.dumps(WHAT[what](int(passes))), flush=True)


WHAT: Final[dict[str, Callable[[int], object]]] = {
    "all": measure,
    "server": lambda passes: trio.run(measure_whole_server, passes),
    "client": lambda passes: trio.run(measure_whole_client, passes),
}


if __name__ == "__main__":
    main()
