"""`trizmq token`: `new` prints only the token, `list` prints no secrets, `revoke` is effective."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from trizmq_auth.commands import expiry, token
from trizmq_auth.store import TokenStore
from trizmq_auth.verifier import LOOK_EVERY, Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path)


def run(directory: Path, *args: str) -> Result:
    environment = {"TRIZMQ_STATE_DIR": str(directory)}
    return CliRunner(env=environment).invoke(token, args, catch_exceptions=False)


def test_new_prints_the_token_alone(store: TokenStore, tmp_path: Path) -> None:
    result = run(tmp_path, "new", "--principal", "ada", "--scope", "a:b", "--scope", "*")
    assert result.exit_code == 0
    (kept,) = store.tokens()
    assert kept.matches(result.stdout.removesuffix("\n"))
    assert (kept.principal, kept.scopes, kept.expires) == ("ada", ("a:b", "*"), None)
    assert result.stderr == ""


def test_the_state_directory_may_be_named(tmp_path: Path) -> None:
    named = tmp_path / "named"
    run(tmp_path, "new", "--principal", "ada", "--state-dir", str(named))
    assert TokenStore(named).tokens()
    assert not TokenStore(tmp_path).tokens()


NO_EXPIRY = ["soon", "2001-01-01", "0001-01-01T00:00+14:00", "0d", "-1d", "1.5d", "1e3d", "1y"]
NO_EXPIRY += ["", " ", "d", "nan", "inf", "nand", "999999999d", "999999999w", "9" * 5000 + "d"]
NO_EXPIRY += ["9999-12-31T23:59:59-14:00", "10000-01-01", "1\u0663d", "12h\n"]


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("--principal", " "),
        ("--principal", "a\nb"),
        ("--principal", "ada", "--scope", ""),
        ("--principal", "ada", "--scope", "a b"),
        ("--principal", "ada", "--scope", 'a"b'),
        ("--principal", "ada", "--expires", "soon"),
        *[("--principal", "ada", "--expires", text) for text in NO_EXPIRY],
    ],
)
def test_nonsense_makes_no_token(store: TokenStore, tmp_path: Path, args: tuple[str, ...]) -> None:
    result = run(tmp_path, "new", *args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert sum(line.startswith("Error: ") for line in result.stderr.splitlines()) == 1
    assert store.tokens() == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("1w", 604_800)],
)
def test_a_token_may_live_for_so_long(text: str, seconds: int) -> None:
    assert expiry(text) == pytest.approx(time.time() + seconds, abs=5)


@pytest.mark.parametrize(
    "text", ["2100-01-01", "2100-01-01T00:00:00Z", "2100-01-01T02:00:00+02:00"]
)
def test_or_until_then(text: str) -> None:
    assert expiry(text) == 4_102_444_800


def test_list_is_for_people_or_programs_and_has_no_secret(
    store: TokenStore, tmp_path: Path
) -> None:
    texts = [store.add("ada", ["a", "b"], 4_102_444_800), store.add("bob", [])]
    shown = run(tmp_path, "list").stdout
    assert [line.split()[1:] for line in shown.splitlines()] == [
        ["PRINCIPAL", "SCOPES", "EXPIRES"],
        ["ada", "a,b", "2100-01-01T00:00:00+00:00"],
        ["bob", "-", "never"],
    ]
    rows = json.loads(run(tmp_path, "list", "--json").stdout)
    assert [(row["principal"], row["scopes"]) for row in rows] == [("ada", ["a", "b"]), ("bob", [])]
    assert set(rows[0]) == {"id", "principal", "scopes", "created", "expires"}
    for text in texts:
        assert text.partition(".")[2] not in shown


@pytest.mark.parametrize(
    ("expires", "shown"),
    [
        (1e15, "9999-12-31T23:59:59+00:00"),
        (86_400 * 999_999_999.0, "9999-12-31T23:59:59+00:00"),
        (1e300, "9999-12-31T23:59:59+00:00"),
        (-1e300, "0001-01-01T00:00:00+00:00"),
        (253_402_300_799.0, "9999-12-31T23:59:59+00:00"),
    ],
)
def test_tokens_of_an_older_version_are_listed(
    store: TokenStore, tmp_path: Path, expires: float, shown: str
) -> None:
    store.add("ada", [], expires)
    (row,) = json.loads(run(tmp_path, "list", "--json").stdout)
    assert row["expires"] == shown
    assert shown in run(tmp_path, "list").stdout


def test_a_revoked_token_is_dead_when_the_command_has_returned(
    store: TokenStore, tmp_path: Path
) -> None:
    text = store.add("ada", [])
    verifier = Verifier(store)
    assert verifier.verify(text)
    began = time.monotonic()
    result = run(tmp_path, "revoke", text.partition(".")[0])
    assert (result.exit_code, result.output) == (0, "")
    assert time.monotonic() - began > LOOK_EVERY
    assert verifier.verify(text) is None


def test_an_unknown_token_cannot_be_revoked(tmp_path: Path) -> None:
    result = run(tmp_path, "revoke", "nobody")
    assert result.exit_code == 1
    assert "there is no token 'nobody'" in result.stderr


def test_the_admin_file_goes_with_its_token(store: TokenStore, tmp_path: Path) -> None:
    admin, other = store.add("admin", ["*"]), store.add("ada", [])
    path = tmp_path / "admin-token"
    path.write_text(admin)
    run(tmp_path, "revoke", other.partition(".")[0])
    assert path.exists()
    run(tmp_path, "revoke", admin.partition(".")[0])
    assert not path.exists()
