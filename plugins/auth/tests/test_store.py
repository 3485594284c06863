"""The guarantees of the store: no secrets on disk, private files, no lost changes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from trizmq_auth.admin import ensure_admin
from trizmq_auth.private_files import write_private
from trizmq_auth.store import TokenStore, digest_of

from trizmq import ConfigError, local_token_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path)


def test_a_token_is_an_id_and_256_bits(store: TokenStore) -> None:
    text = store.add("ada", ["users:write"])
    token_id, _, secret = text.partition(".")
    assert len(secret) == 43
    (token,) = store.tokens()
    assert (token.id, token.principal, token.scopes) == (token_id, "ada", ("users:write",))
    assert token.matches(text)


@pytest.mark.parametrize("wrong", ["", "x", ".", "é", "\ud800"])
def test_no_other_text_matches(store: TokenStore, wrong: str) -> None:
    text = store.add("ada", [])
    (token,) = store.tokens()
    assert not token.matches(wrong)
    assert not token.matches(text[:-1])
    assert not token.matches(text + " ")


def test_the_secret_is_not_on_disk(store: TokenStore, tmp_path: Path) -> None:
    text = store.add("ada", [])
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert text.partition(".")[2].encode() not in kept
    assert digest_of(text).encode() in kept


def test_files_are_their_owners_alone(store: TokenStore, tmp_path: Path) -> None:
    store.add("ada", [])
    assert {path.name for path in tmp_path.iterdir()} == {"tokens.json", "tokens.lock"}
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_revoke_removes_one_token_and_returns_whether_it_existed(store: TokenStore) -> None:
    store.add("ada", [])
    store.add("bob", [])
    ada, bob = store.tokens()
    assert store.revoke(ada.id)
    assert store.tokens() == [bob]
    before = store.stamp()
    assert not store.revoke(ada.id)
    assert store.stamp() == before


def test_the_stamp_differs_after_each_change(store: TokenStore) -> None:
    stamps = [store.stamp()]
    for name in ("ada", "bob"):
        store.add(name, [])
        stamps.append(store.stamp())
    store.revoke(store.tokens()[0].id)
    stamps.append(store.stamp())
    assert stamps[0] is None
    assert len(set(stamps)) == len(stamps)


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def add_some() -> None:
        for _ in range(5):
            TokenStore(tmp_path).add("ada", [])  # with its own lock file, like another process

    threads = [threading.Thread(target=add_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({token.id for token in TokenStore(tmp_path).tokens()}) == 20


@pytest.mark.parametrize("content", [b"", b"{}", b"[{}]", b"\xff", b'["'])
def test_a_damaged_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokens.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"tokens\.json cannot be read"):
        TokenStore(tmp_path).tokens()


def test_a_write_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_private(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


# -- the first start -----------------------------------------------------------------------


def start_first(directory: Path) -> None:
    ensure_admin(TokenStore(directory), directory)


#: The same for a separate process.
FIRST_START = """
import sys
from pathlib import Path
from trizmq_auth.admin import ensure_admin
from trizmq_auth.store import TokenStore

directory = Path(sys.argv[1])
ensure_admin(TokenStore(directory), directory)
"""


def test_many_first_starts_at_once_make_one_token(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FIRST_START, str(tmp_path)]
    starts = [subprocess.Popen(command) for _ in range(4)]
    assert [start.wait(20) for start in starts] == [0] * 4
    (token,) = TokenStore(tmp_path).tokens()
    assert token.matches(local_token_file(tmp_path).read_text())


@pytest.mark.parametrize("step", range(4))
def test_a_first_start_that_is_killed_leaves_nothing_half_done(tmp_path: Path, step: int) -> None:
    # Killed at its step-th replacement or lock: the next start creates the only valid token.
    steps = 0
    child = os.fork()
    if child == 0:
        real = os.fsync

        def fsync(descriptor: Any) -> None:
            nonlocal steps
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)
            steps += 1
            real(descriptor)

        os.fsync = fsync  # type: ignore[assignment]
        try:
            start_first(tmp_path)
        finally:
            os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    start_first(tmp_path)
    (token,) = TokenStore(tmp_path).tokens()
    assert token.matches(local_token_file(tmp_path).read_text())
    TokenStore(tmp_path).add("ada", [])
    assert not list(tmp_path.glob(".*"))


# -- the file system ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tokens.json", "."])
def test_a_store_that_every_user_can_write_is_refused(
    store: TokenStore, tmp_path: Path, name: str
) -> None:
    store.add("ada", [])
    (tmp_path / name).chmod(0o777 if name == "." else 0o666)
    with pytest.raises(ConfigError, match=r"every user can write the .*: run chmod [67]00 /"):
        store.tokens()
    with pytest.raises(ConfigError, match=r"chmod"):
        store.add("bob", [])
    (tmp_path / name).chmod(0o770 if name == "." else 0o660)
    assert [token.principal for token in store.tokens()] == ["ada"]


def test_a_directory_like_tmp_is_to_each_its_own(store: TokenStore, tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    store.add("ada", [])
    assert store.tokens()


def test_a_first_start_in_everybodys_directory_makes_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod 700"):
        start_first(tmp_path)
    assert not local_token_file(tmp_path).exists()


def test_a_full_disk_changes_nothing_and_names_the_file(
    store: TokenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add("ada", [])
    before = (tmp_path / "tokens.json").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '/.*/tokens\.json'"):
        store.add("bob", [])
    assert (tmp_path / "tokens.json").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"tokens.json", "tokens.lock"}
