"""The environments of peers: a virtual environment for each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Environments", "Unavailable"]

#: Runs in the environment itself, whose Python may be a different one.
VERSIONS = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"


class Unavailable(Exception):
    """The reason why a peer cannot be installed here."""


@final
class Environments:
    """Environments in one directory, created on first use, and kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.versions: dict[str, str] = {}

    def python(self, packages: Sequence[str]) -> str:
        """Return the Python that has ``packages``; if there are none, the one that runs this.

        Raises:
          Unavailable: pip cannot install them.

        """
        if not packages:
            return sys.executable
        home = self._directory / packages[0]
        python, wanted = home / "bin" / "python", " ".join(packages)
        installed = home / "packages"
        if not (installed.is_file() and installed.read_text() == wanted):
            venv.create(home, clear=True, with_pip=True)
            _run([str(python), "-m", "pip", "install", "--quiet", *packages])
            installed.write_text(wanted)
        self._note(str(python), packages)
        return str(python)

    def _note(self, python: str, packages: Sequence[str]) -> None:
        versions = _run([python, "-c", VERSIONS, *packages]).split()
        self.versions |= dict(zip(packages, versions, strict=True))


def provide(program: str) -> None:
    """Install a Debian package, if its program is missing and the user may do so.

    Raises:
      Unavailable: the program is still missing.

    """
    if shutil.which(program):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(f"{program} is not installed: apt-get install {program}")
    _run(["apt-get", "install", "--yes", "--quiet", program])
    if not shutil.which(program):
        raise Unavailable(f"{program} is not on PATH")


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise Unavailable(said[-1] if said else f"{command[0]}: exit code {done.returncode}")
    return done.stdout
