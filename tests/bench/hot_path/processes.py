"""Real processes: `trizmq run` and a program that calls it, over TCP on the loopback."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, final

from ..process import Process, plain_environment
from .lines import SIDES
from .threads import KINDS, Usage, usage_of
from .traffic import CALLS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack

    from .clock import Costs

__all__ = ["HERE", "PATIENCE", "Pair", "start"]

#: The directory for `python -m bench...`: in the checkout itself, `trizmq` would be the sources.
HERE: Final = Path(__file__).parents[2]

#: Seconds for a response, on a machine that is busy with other work.
PATIENCE: Final = 60.0

#: Calls of each task that are not measured.
WARM_UP: Final = 20

RUN: Final = (
    "-m trizmq run --bind tcp://127.0.0.1:* --plugins users,auth --module bench.hot_path.turns"
)


def start(stack: ExitStack, words: str, variables: Mapping[str, str]) -> Process:
    """Run Python with ``words`` as its arguments, until ``stack`` is unwound."""
    folder = stack.enter_context(TemporaryDirectory())
    environment = {**plain_environment(), **variables}
    command = [sys.executable, *words.split()]
    process = Process(command, HERE, environment, Path(folder, "log"))
    stack.callback(process.stop)
    return process


@final
class Pair:
    """A server and a client that calls it, which are connected and warmed up."""

    def __init__(self, stack: ExitStack, variables: Mapping[str, str]) -> None:
        state = stack.enter_context(TemporaryDirectory())
        variables = {**variables, "TRIZMQ_STATE_DIR": state}
        server = start(stack, RUN, variables)
        (endpoint,) = re.findall(r"tcp://\S+", server.read(PATIENCE))
        self._client = start(stack, f"-m bench.hot_path.caller {endpoint}", variables)
        self._pids = {"server": server.pid, "client": self._client.pid}
        self._turns = self._call(WARM_UP)
        self._used = dict.fromkeys(self._usage(), Usage())

    def measure(self, times: int) -> Costs:
        """Let each of `CALLS` tasks make this many calls; return the cost of a call in each thread.

        The figures are microseconds, and how often the thread waited; for each side also how often
        Trio ran a task and looked for ready tasks and sockets, and the messages.
        """
        before, turns = self._usage(), self._turns
        self._turns = self._call(times)
        used = {name: usage.minus(before[name]) for name, usage in self._usage().items()}
        self._used = {name: usage.plus(used[name]) for name, usage in self._used.items()}
        taken = {
            **{name: usage.seconds * 1e6 for name, usage in used.items()},
            **{f"{name}, waits": usage.waits for name, usage in used.items()},
            **{name: count - turns[name] for name, count in self._turns.items()},
        }
        return {name: amount / (times * CALLS) for name, amount in taken.items()}

    def kernel(self) -> Costs:
        """Return the kernel's share of each thread's time, over all measurements."""
        return {f"{name}, kernel": usage.kernel for name, usage in self._used.items()}

    def _call(self, times: int) -> dict[str, int]:
        """Return how often Trio has scheduled tasks so far, and the number of messages."""
        answer = json.loads(self._client.ask(str(times), PATIENCE))
        assert isinstance(answer, dict)
        return answer

    def _usage(self) -> dict[str, Usage]:
        usage = {side: usage_of(pid) for side, pid in self._pids.items()}
        return {f"{side} {kind}": usage[side][kind] for side in SIDES for kind in KINDS}
