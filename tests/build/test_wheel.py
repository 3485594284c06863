"""A wheel is compiled if possible; otherwise it is pure, and a line explains why.

The tests build a small package in place of trizmq, with trizmq's own pyproject.toml and hook.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tomllib
import venv
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
COPIED = ["pyproject.toml", "hatch_build.py", "README.md", "LICENSE"]

#: A Struct, which is not compiled, and a compiled module that needs its types.
SOURCES = {
    "__init__.py": "",
    "broker/__init__.py": "",
    "limits.py": "import msgspec\nclass Limits(msgspec.Struct):\n    calls: int = 7\n",
    "broker/engine.py": """
from ..limits import Limits

def most(limits: Limits) -> int:
    match limits:
        case Limits(calls):
            return calls
""",
    "wire/__init__.py": "",
    "wire/native.py": "",
}


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with only the packages that pyproject.toml requires for a build."""
    home = tmp_path_factory.mktemp("builder")
    venv.create(home, with_pip=True)
    hook = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    # The last one is what hatchling needs for an editable build.
    wanted = [*SETTINGS["build-system"]["requires"], *hook["requires"], "editables"]
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


@dataclass
class Project:
    """A checkout and a user who builds it, with ``environment`` instead of trizmq's variables."""

    python: Path
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        plain = {key: value for key, value in os.environ.items() if key != "CC"}
        environment = {**plain, "TRIZMQ_PURE_PYTHON": "", **self.environment}
        command = [str(self.python), *args]
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            cwd=self.directory,
            env=environment,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def build(self, target: str = "wheel", *, check: bool = True) -> list[str]:
        """Build; return the lines of stderr, except for the path of the result."""
        said = self.run("-m", "hatchling", "build", "-t", target, check=check).stderr
        return [line for line in said.splitlines() if not line.startswith("dist")]

    def ask(self, backend: str) -> str:
        """Call a hook of the build backend, as pip does; return its result."""
        return self.run("-c", f"from hatchling import build; print(build.{backend})").stdout.strip()

    def skip_without_compiler(self) -> None:
        obstacle = self.run("-c", "import hatch_build; print(hatch_build.obstacle() or '')").stdout
        if obstacle.strip():
            pytest.skip(obstacle.strip())

    @property
    def files(self) -> set[Path]:
        found = (path.relative_to(self.directory) for path in self.directory.rglob("*"))
        return {path for path in found if not {"dist", "__pycache__"} & {*path.parts}}

    @property
    def wheel(self) -> Path:
        (wheel,) = (self.directory / "dist").glob("*.whl")
        return wheel


@pytest.fixture
def project(python: Path, tmp_path: Path) -> Project:
    directory = tmp_path / "checkout"
    for name, text in SOURCES.items():
        (directory / "trizmq" / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / "trizmq" / name).write_text(text)
    for name in COPIED:
        shutil.copy(ROOT / name, directory)
    return Project(python, directory)


def is_pure(wheel: Path) -> bool:
    names = ZipFile(wheel).namelist()
    has_extensions = any(name.endswith((".so", ".pyd")) for name in names)
    assert wheel.stem.endswith("-none-any") != has_extensions
    return not has_extensions


def test_it_is_compiled_beside_its_sources_and_nothing_is_left(
    project: Project, tmp_path: Path
) -> None:
    project.skip_without_compiler()
    before = project.files
    assert project.build() == []
    assert project.files == before
    assert not is_pure(project.wheel)
    names = ZipFile(project.wheel).namelist()
    assert {f"trizmq/{name}" for name in SOURCES} < set(names)
    ZipFile(project.wheel).extractall(tmp_path / "site")
    places = [
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})",
        "from trizmq import limits; from trizmq.broker import engine as broker",
        "print(broker.__file__, limits.__file__, broker.most(limits.Limits()))",
    ]
    compiled, left_out, answer = project.run("-c", "; ".join(places)).stdout.split()
    assert (Path(compiled).suffix == ".py", Path(left_out).suffix == ".py") == (False, True)
    assert answer == "7"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"CC": "no-such-compiler"}, "there is no C compiler (no-such-compiler)"),
        ({"PATH": ""}, "there is no C compiler ("),
        ({"CC": "false"}, "the C compiler (false) does not compile what includes Python.h"),
        ({"TRIZMQ_PURE_PYTHON": "1"}, "TRIZMQ_PURE_PYTHON is 1"),
    ],
)
def test_where_nothing_can_be_compiled_it_is_pure(
    project: Project, environment: dict[str, str], reason: str
) -> None:
    project.environment = environment
    (line,) = project.build()
    assert line.startswith(f"trizmq: a wheel of pure Python: {reason}")
    assert is_pure(project.wheel)
    assert project.ask("get_requires_for_build_wheel()") == "[]"


def test_a_failed_compilation_produces_a_pure_wheel(project: Project) -> None:
    project.skip_without_compiler()
    (project.directory / "trizmq/broker/engine.py").write_text("def f() -> int: return ''")
    before = project.files
    (line,) = project.build()
    assert line.startswith(
        "trizmq: a wheel of pure Python: mypyc failed: trizmq/broker/engine.py:1"
    )
    assert is_pure(project.wheel)
    assert project.files == before


def test_a_required_compilation_succeeds_or_fails_the_build(project: Project) -> None:
    project.environment = {"TRIZMQ_PURE_PYTHON": "0", "CC": "false"}
    assert "the C compiler (false) does not" in "".join(project.build(check=False))
    assert not list(project.directory.glob("dist/*.whl"))


def test_an_editable_install_is_its_sources(project: Project) -> None:
    name = project.ask("build_editable('dist')")
    assert is_pure(project.directory / "dist" / name)


def test_a_source_distribution_can_be_compiled(project: Project) -> None:
    project.build("sdist")
    (archive,) = project.directory.glob("dist/*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"hatch_build.py", "pyproject.toml", "trizmq/broker/engine.py"} <= names
    assert not any(name.endswith((".so", ".c")) for name in names)


def test_compiled_modules_exist_and_define_no_struct() -> None:
    hook = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    kinds = ("compiled", "left-out")
    assert all(any(ROOT.glob(glob)) for key in kinds for glob in hook[key])
    found = {key: {path for glob in hook[key] for path in ROOT.glob(glob)} for key in kinds}
    for path in found["compiled"] - found["left-out"]:
        assert "(msgspec.Struct" not in path.read_text("utf-8"), path
