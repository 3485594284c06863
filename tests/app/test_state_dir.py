"""The state directory comes from the user, the environment or XDG, and is private."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trizmq import ConfigError, state_dir

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("TRIZMQ_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("explicit", "ours", "xdg", "where"),
    [
        ("x", "o", "g", "x"),
        (None, "o", "g", "o"),
        (None, "", "g", "g/trizmq"),
        (None, None, None, "home/.local/state/trizmq"),
    ],
)
def test_the_first_setting_wins(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    explicit: str | None,
    ours: str | None,
    xdg: str | None,
    where: str,
) -> None:
    if ours is not None:
        monkeypatch.setenv("TRIZMQ_STATE_DIR", ours and str(tmp_path / ours))
    if xdg is not None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / xdg))
    assert state_dir(explicit and tmp_path / explicit) == tmp_path / where  # type: ignore[arg-type]  # None or a Path


def test_a_relative_xdg_directory_does_not_count(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    assert state_dir() == home / ".local/state/trizmq"


def test_a_tilde_is_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIZMQ_STATE_DIR", "~/mine")
    assert state_dir() == home / "mine"


def test_it_is_made_private_and_an_old_one_is_left_alone(tmp_path: Path) -> None:
    made = state_dir(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o750)
    assert state_dir(made).stat().st_mode & 0o777 == 0o750


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot create the state directory .*file: File exists"):
        state_dir(tmp_path / "file")
