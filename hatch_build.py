"""Compile the hot path with mypyc: hatchling runs this when it builds a wheel.

What is compiled stands in pyproject.toml. Where there is no C compiler, or compiling fails, the
wheel is pure Python: it does the same, slower, and one line says so. `TRIZMQ_PURE_PYTHON=1` asks
for that wheel, and `TRIZMQ_PURE_PYTHON=0` for a compiled one or none. An editable install is the
sources alone.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CompiledWheel", "obstacle"]

#: Set to 1 or 0, see above.
VARIABLE: Final = "TRIZMQ_PURE_PYTHON"

#: Whose types are not installed is Any, and nobody's settings are read: to check types is CI's.
MYPY: Final = ("--config-file=", "--follow-imports=silent", "--ignore-missing-imports")


class CompileError(Exception):
    """Why in the first line, and all that was written in the others."""


@final
class CompiledWheel(BuildHookInterface[Any]):
    """The hook. What it makes is outside the checkout, where it would shadow the sources."""

    _directory: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """Return what compiling needs, if anything will be compiled."""
        return [] if obstacle() else list(self.config["requires"])

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add compiled modules to a wheel, beside their sources."""
        if version == "editable":
            return
        try:
            made = self._compile()
        except CompileError as error:
            if os.environ.get(VARIABLE) == "0":
                raise
            reason = str(error).partition("\n")[0]
            self.app.display_warning(f"{self.metadata.name}: a wheel of pure Python: {reason}")
        else:
            build_data |= {"pure_python": False, "infer_tag": True}
            build_data["force_include"] |= made

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made, for it is in the wheel now."""
        del version, build_data, artifact_path
        if self._directory:
            self._directory.cleanup()

    def _compile(self) -> dict[str, str]:
        """Compile in a copy of the packages; return where each file is, and belongs."""
        if reason := obstacle():
            raise CompileError(reason)
        self._directory = TemporaryDirectory()
        copy = Path(self._directory.name).resolve()
        for package in self.build_config.packages:
            shutil.copytree(Path(self.root, package), copy / package)
        _run_mypyc(copy, self._modules())
        return {str(made): str(made.relative_to(copy)) for made in _built_in(copy)}

    def _modules(self) -> list[str]:
        return sorted(self._files("compiled") - self._files("left-out"))

    def _files(self, key: str) -> set[str]:
        root = Path(self.root)
        found = (path for pattern in self.config[key] for path in root.glob(pattern))
        return {path.relative_to(root).as_posix() for path in found}


def obstacle() -> str | None:
    """Return why nothing can be compiled here; None if it can, as far as one sees."""
    if os.environ.get(VARIABLE) == "1":
        return f"{VARIABLE} is 1"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    trial = [*compiler, f"-I{sysconfig.get_path('include')}", "-fsyntax-only", "-xc", "-"]
    try:
        subprocess.run(trial, input=b"#include <Python.h>\n", capture_output=True, check=True)
    except OSError:
        return f"there is no C compiler ({compiler[0]})"
    except subprocess.CalledProcessError:
        return f"the C compiler ({compiler[0]}) does not compile what includes Python.h"
    return None


def _run_mypyc(directory: Path, modules: Iterable[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypyc", *MYPY, *modules],
        check=False,
        cwd=directory,
        env=os.environ | {"MYPYC_DEBUG_LEVEL": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        said = done.stdout.strip()
        last = said.splitlines()[-1] if said else f"exit code {done.returncode}"
        raise CompileError(f"mypyc failed: {last}\n{said}")


def _built_in(directory: Path) -> Iterable[Path]:
    """Return the extension modules, but for those in mypyc's own `build`."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    made = directory.rglob(f"*{suffix}")
    return [path for path in made if path.relative_to(directory).parts[0] != "build"]
