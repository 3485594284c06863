"""A target: how to start a server and the client that loads it, each in a separate process."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, final

from .environments import provide
from .peers.users import free_port
from .process import Process, plain_environment

if TYPE_CHECKING:
    from types import TracebackType

    from .environments import Environments

__all__ = ["CALLS", "Running", "Target"]

HERE: Final = Path(__file__).parent

#: Seconds until a server is ready.
START: Final = 30.0

#: The orders that every peer's client accepts.
CALLS: Final = frozenset({"get", "echo"})


@dataclass(frozen=True)
class Target:
    """A server and a client to measure.

    Attributes:
      name: its name in tables and charts.
      servers: the arguments of Python for each process, which prints its endpoint on stdout
        when it is ready. They start in this order; clients connect to the first one.
      client: the arguments of Python; the endpoint is appended.
      calls: the orders that its client accepts.
      packages: packages from PyPI, installed in a separate environment.
      program: a package from Debian.
      variables: environment variables of its processes.
      note: the difference from other targets.
      directory: the directory of its programs.
      interpreter: the Python that has it installed, unless `packages` determines one.

    """

    name: str
    servers: tuple[str, ...]
    client: str
    calls: frozenset[str] = CALLS
    packages: tuple[str, ...] = ()
    program: str = ""
    variables: dict[str, str] = field(default_factory=dict, hash=False)
    note: str = ""
    directory: Path = HERE
    interpreter: str = ""

    def start(self, environments: Environments) -> Running:
        """Start the target, and install it first if necessary.

        Raises:
          Unavailable: it cannot be installed.
          Died: it does not start.

        """
        if self.program:
            provide(self.program)
        return Running(self, self.interpreter or environments.python(self.packages))


@final
class Running:
    """A target whose processes are running; a context manager that ends them."""

    def __init__(self, target: Target, python: str) -> None:
        self._python = python
        self._programs = target.directory
        self._port = free_port()
        with ExitStack() as stack:
            self._directory = Path(stack.enter_context(TemporaryDirectory()))
            self._environment = {
                **plain_environment(),
                "TRIZMQ_STATE_DIR": str(self._directory / "state"),
                **target.variables,
            }
            self.servers: list[Process] = []
            endpoints = [self._serve(stack, command) for command in target.servers]
            self.client = self._process(stack, f"{target.client} {' '.join(endpoints[:1])}")
            self._stack = stack.pop_all()

    def _serve(self, stack: ExitStack, command: str) -> str:
        server = self._process(stack, command.format(port=self._port))
        self.servers.append(server)
        return re.findall(r"\w+://[^\s,]+", server.read(START))[0]

    def _process(self, stack: ExitStack, command: str) -> Process:
        log = self._directory / f"{len(self.servers)}.log"
        words = [self._python, *command.split()]
        process = Process(words, self._programs, self._environment, log)
        stack.callback(process.stop)
        return process

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
