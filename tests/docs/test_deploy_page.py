"""systemd and trizmq accept the units of the deploy page; its log messages exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from trizmq.cli import command_line
from trizmq.cli.options import chosen
from trizmq.processes.serve import GOODBYE_SECONDS

if TYPE_CHECKING:
    from trizmq.settings import Settings

ROOT = Path(__file__).parents[2]
UNITS = ["trizmq.service", "trizmq-broker.service", "trizmq-worker@.service"]

#: The page assumes that trizmq is installed here.
INSTALLED = "/opt/trizmq/bin/trizmq"


@pytest.fixture
def text(page, name: str) -> str:
    """The unit with this name."""
    (unit,) = (b.text for b in page("docs/howto/deploy.md").blocks if b.caption == name)
    return unit


@pytest.fixture
def service(text: str) -> dict[str, str]:
    """Its section ``[Service]``."""
    unit = RawConfigParser(delimiters="=")
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    unit.read_string(text)
    return dict(unit["Service"])


@pytest.fixture
def settings(service: dict[str, str]) -> Settings:
    """The settings of the command in the unit."""
    program, *args = shlex.split(service["ExecStart"])
    assert program == INSTALLED
    group = command_line()
    context = click.Context(group)
    _, command, rest = group.resolve_command(context, args)
    assert command
    return chosen(command.make_context(args[0], rest))


def test_the_page_has_these_units(page) -> None:
    shown = [b.caption for b in page("docs/howto/deploy.md").blocks if b.language == "ini"]
    assert shown == UNITS


@pytest.mark.parametrize("name", UNITS)
def test_a_drain_has_its_time(service: dict[str, str], settings: Settings) -> None:
    patience, grace = float(service["TimeoutStopSec"]), settings.grace
    assert service["KillSignal"] == "SIGTERM"
    if settings.workers:
        assert service["KillMode"] == "mixed"
        assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
        assert patience > 2 * grace + GOODBYE_SECONDS
    else:
        assert patience > grace


@pytest.mark.parametrize("name", UNITS)
def test_state_is_where_systemd_puts_it(service: dict[str, str]) -> None:
    place = f"%S/{service['StateDirectory']}"
    assert service["Environment"] == f"TRIZMQ_STATE_DIR={place}"
    assert service["WorkingDirectory"] == place


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(text: str, name: str, tmp_path: Path) -> None:
    here = str(Path(sys.executable).with_name("trizmq"))
    (tmp_path / name).write_text(text.replace(INSTALLED, here))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / name)],
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_build_has_the_variables_and_kinds_of_the_page(page) -> None:
    text = page("docs/howto/deploy.md").section("Compiled or not").text
    hook = (ROOT / "hatch_build.py").read_text("utf-8")
    for variable in re.findall(r"`(\w+)=\d pip", text):
        assert f'"{variable}"' in hook
    version = CliRunner().invoke(command_line(), ["--version"], prog_name="trizmq").output
    kinds = re.findall(r"`(\(.+?\))`", text)
    assert len(kinds) == 2
    assert any(version.rstrip().endswith(kind) for kind in kinds)


def test_every_line_of_the_log_is_one_that_is_written(page) -> None:
    rows = page("docs/howto/deploy.md").section("What to watch").rows
    lines = {message: cells for message, cells in rows.items() if cells[0].startswith("`trizmq.")}
    assert len(lines) > 10
    source = "\n".join(file.read_text("utf-8") for file in ROOT.glob("trizmq/**/*.py"))
    for message, (logger, *_) in lines.items():
        words = re.sub(r"^[A-Z]+\b:?", "", message)  # the name of a worker or of a signal
        assert words.strip() in source, message
        assert f'getLogger("{logger.strip("`")}")' in source, logger
