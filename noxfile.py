"""The commands that people and CI use: `nox`, or `nox -s NAME`."""

import sys

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "floors", "types", "docs", "tests"]

PLUGINS = ["./plugins/users", "./plugins/auth"]
CODE = ["trizmq", "plugins", "tests", "docs", "noxfile.py"]


def install(session: nox.Session, *extras: str) -> None:
    """Install this checkout, editable, with the plugins."""
    editable = [word for path in PLUGINS for word in ("-e", path)]
    wanted = f"[{','.join(extras)}]" if extras else ""
    session.install("-e", f".{wanted}", *editable)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, with branch coverage of the wings that know no sockets."""
    install(session, "test")
    if sys.version_info < (3, 12):
        # A peer that nobody here wrote, from 2013: only an old setuptools can build it,
        # and Python 3.12 cannot run that one. Its tests are skipped there.
        session.install("setuptools<58", "wheel", "tornado")
        session.install("--no-build-isolation", "--no-deps", "pyzmq-mdp==0.2")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    if not session.posargs:
        wings = "trizmq/wire/*,trizmq/engine/*,trizmq/app/*"
        session.run("coverage", "report", "--include", wings, "--fail-under", "98")


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
    session.install("mypy", "nox")
    session.run("mypy")


@nox.session
def floors(session: nox.Session) -> None:
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
def bench(session: nox.Session) -> None:
    """Measure trizmq and its peers, on a quiet machine; `-- --quick` takes two minutes."""
    install(session)
    session.install("matplotlib")
    session.run("python", "-m", "tests.bench", *session.posargs)
