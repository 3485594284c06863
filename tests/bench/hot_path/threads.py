"""The CPU time of the threads of a process, from Linux's /proc."""

from __future__ import annotations

import re
from operator import add, sub
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["KINDS", "Usage", "usage_of"]

WAITS: Final = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)

KINDS: Final = ("main", "io", "others")

#: The name of libzmq's thread, which moves messages between its queues and TCP.
IO: Final = "ZMQbg/IO"


class Usage(NamedTuple):
    """The usage of some threads.

    Attributes:
      seconds: CPU time.
      own: ticks of the system's clock in which they ran code of their program.
      system: ticks in which they ran the kernel's.
      waits: how often they gave up the processor voluntarily.

    """

    seconds: float = 0.0
    own: int = 0
    system: int = 0
    waits: int = 0

    @property
    def kernel(self) -> float:
        """The kernel's share of the ticks, which are too long for measurements of a second."""
        return self.system / ((self.own + self.system) or 1)

    def plus(self, other: Usage) -> Usage:
        return Usage(*map(add, self, other))

    def minus(self, other: Usage) -> Usage:
        return Usage(*map(sub, self, other))


def usage_of(pid: int) -> dict[str, Usage]:
    """Return the usage of the threads of ``pid``, by `KINDS`."""
    usage = dict.fromkeys(KINDS, Usage())
    for task in Path(f"/proc/{pid}/task").iterdir():
        kind = _kind(task, pid)
        usage[kind] = usage[kind].plus(_usage(task))
    return usage


def _kind(task: Path, pid: int) -> str:
    if task.name == str(pid):
        return "main"
    return "io" if (task / "comm").read_text().startswith(IO) else "others"


def _usage(task: Path) -> Usage:
    # proc(5): the second field of `stat` is a name in brackets, which the program can choose;
    # the 14th and 15th fields are ticks. The first field of `schedstat` is nanoseconds.
    fields = (task / "stat").read_text().rpartition(")")[2].split()
    nanoseconds = (task / "schedstat").read_text().split()[0]
    waits = WAITS.search((task / "status").read_text())
    return Usage(
        seconds=int(nanoseconds) / 1e9,
        own=int(fields[11]),
        system=int(fields[12]),
        waits=int(waits[1]) if waits else 0,
    )
