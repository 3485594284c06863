"""The commands that people and CI use: `nox`, or `nox -s NAME`."""

import sys
from pathlib import Path

import nox

HERE = Path(__file__).parent
PLUGINS = ["./plugins/users", "./plugins/auth"]
CODE = ["trizmq", "plugins", "tests", "docs", "hatch_build.py", "noxfile.py"]

#: Pythons that the tests run on. The first is the lowest.
PYTHONS = ["3.11", "3.12", "3.13"]

#: The one that runs nox.
THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

#: Each has at least 95 % of its lines and branches covered by the tests.
ROOMS = ["wire", "broker", "worker", "client", "app", "transport", "processes", "cli"]

#: Tests for `nox -s compiled`, in half the time of all; `nox -s compiled -- tests` runs more.
HOT_PATH = [*(f"tests/{room}" for room in [*ROOMS, "faults"]), *HERE.glob("tests/test_*.py")]

#: Tests for `nox -s lowest`: they use the most of what trizmq depends on.
DEPENDENTS = ["tests/app", "tests/cli", "tests/transport", "plugins"]

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False
nox.options.sessions = [
    "lint",
    "imports",
    "types",
    "docs",
    f"tests-{THIS_PYTHON}",
    "compiled",
]


def install(session: nox.Session, *extras: str, constraints: Path | None = None) -> None:
    """Install this checkout, editable, with the plugins."""
    editable = [word for path in PLUGINS for word in ("-e", path)]
    wanted = f"[{','.join(extras)}]" if extras else ""
    bounds = ["-c", str(constraints)] if constraints else []
    # It is never compiled, and so needs none of what compiles.
    session.install("-e", f".{wanted}", *editable, *bounds, env={"TRIZMQ_PURE_PYTHON": "1"})


@nox.session(python=[*PYTHONS, *{THIS_PYTHON}.difference(PYTHONS)])
def tests(session: nox.Session) -> None:
    """Run the tests, and measure what they cover; with arguments for pytest, the tests alone."""
    install(session, "test")
    if session.python == "3.11":
        # A peer by another author, from 2013: only an old setuptools can build it,
        # and Python 3.12 cannot run that one. Its tests are skipped there.
        session.install("setuptools<58", "wheel", "tornado")
        session.install("--no-build-isolation", "--no-deps", "pyzmq-mdp==0.2")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest")
    session.run("coverage", "combine", "--quiet")
    for broken in HERE.glob(".coverage.*"):  # of a process that was killed while it wrote
        broken.unlink()
    session.run("coverage", "report")
    for room in ROOMS:
        of = f"--include=trizmq/{room}/*"
        session.run("coverage", "report", of, "--format=total", "--fail-under=95")


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that each pyproject.toml declares."""
    constraints = Path(session.create_tmp(), "lowest.txt")
    projects = [nox.project.load_toml(HERE / path / "pyproject.toml") for path in [".", *PLUGINS]]
    declared = [line for it in projects for line in it["project"]["dependencies"]]
    constraints.write_text("\n".join(line.replace(">=", "==") for line in declared if ">=" in line))
    install(session, "test", constraints=constraints)
    session.run("pytest", *(session.posargs or ["-m", "not slow", *DEPENDENTS]))


@nox.session
def compiled(session: nox.Session) -> None:
    """Run the tests against the wheel that users get, which is compiled, or else is no wheel."""
    session.install("hatchling")
    asked = "import hatch_build; print(hatch_build.obstacle() or '')"
    if obstacle := str(session.run("python", "-c", asked, silent=True)).strip():
        session.skip(f"nothing can be compiled here: {obstacle}")
    session.install(".[test]", *PLUGINS, env={"TRIZMQ_PURE_PYTHON": "0"})
    wanted = session.posargs or ["-m", "not slow", "plugins", *map(str, HOT_PATH)]
    paths = [str(HERE / word) if (HERE / word).exists() else word for word in wanted]
    # Elsewhere: `import trizmq` here would find the sources.
    session.chdir(session.create_tmp())
    if "(compiled)" not in str(session.run("trizmq", "--version", silent=True)):
        session.error("trizmq is installed, and not compiled")
    session.run("pytest", "-c", str(HERE / "pyproject.toml"), *paths)


@nox.session
def lint(session: nox.Session) -> None:
    """Hold the code against ruff's rules and format."""
    session.install("ruff")
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    install(session, "test")
    session.install("hatchling", "mypy", "nox")
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Check who imports whom."""
    install(session)
    session.install("import-linter")
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install(session, "docs")
    session.run("sphinx-build", "-q", "-W", "-n", "-b", "html", "docs", "docs/_build")


@nox.session
def soak(session: nox.Session) -> None:
    """Kill, stop and cut off real processes under load, for half an hour; `-- NAME` for a part."""
    session.install(".", *PLUGINS)
    session.run("python", "-m", "tests.soak", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure trizmq and its peers, on a quiet machine; `-- --quick` takes two minutes."""
    # As a user does it, so that what is measured is what users get.
    session.install(".", *PLUGINS, "matplotlib")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session
def compare(session: nox.Session) -> None:
    """Measure this checkout and another revision in turns, on a quiet machine: `-- REVISION`."""
    session.install(".", *PLUGINS)
    session.run("python", "-m", "tests.bench.compare", *session.posargs)


@nox.session
def hotpath(session: nox.Session) -> None:
    """Say where the microseconds of one call go, in less than two minutes on a quiet machine."""
    # What users get, and beside it the sources: the tool finds them where it is itself.
    session.install(".", *PLUGINS)
    session.run("python", "-m", "tests.bench.hot_path", *session.posargs)
