"""The conditions of a measurement, in one line each; nothing that identifies the machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

import zmq

__all__ = ["describe", "own_versions"]

OURS: Final = ("trio", "pyzmq", "orjson", "msgspec")


def describe() -> str:
    """Return processor, cores, memory and system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, {memory:.0f} GiB, Linux {_kernel()}"


def own_versions() -> dict[str, str]:
    """Return the versions of Python and libraries that trizmq uses."""
    ours = {"trizmq": _product(), **{name: version(name) for name in OURS}}
    return {"Python": platform.python_version(), **ours, "libzmq": zmq.zmq_version()}


def _product() -> str:
    """Return the version of trizmq that the targets run, and whether it is compiled."""
    command = [sys.executable, "-m", "trizmq", "--version"]
    # From the targets' directory: in the checkout itself, the sources would be found.
    here = Path(__file__).parent
    done = subprocess.run(command, cwd=here, capture_output=True, check=True, text=True)
    return done.stdout.strip().partition(" ")[2]


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _kernel() -> str:
    # The builder's own suffix follows the number.
    return platform.release().partition("-")[0]
