"""The guarantees of the verifier: immediate after `new`, prompt after `revoke`, bounded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from trizmq_auth import verifier
from trizmq_auth.store import TokenStore
from trizmq_auth.verifier import LOOK_EVERY, Verifier

from trizmq import Principal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path)


def test_a_token_stands_for_its_principal(store: TokenStore) -> None:
    text = store.add("ada", ["users:write"])
    assert Verifier(store).verify(text) == Principal("ada", frozenset({"users:write"}))


@pytest.mark.parametrize("text", ["", ".", "nobody.secret", "\ud800"])
def test_an_invalid_token_has_no_principal(store: TokenStore, text: str) -> None:
    checker = Verifier(store)
    assert checker.verify(text) is None  # before the file exists
    token = store.add("ada", [])
    assert checker.verify(text) is None
    assert checker.verify(token.partition(".")[0] + ".wrong") is None


def test_a_new_token_is_good_at_once(store: TokenStore) -> None:
    checker = Verifier(store)
    for _ in range(3):
        assert checker.verify(store.add("ada", []))


def test_a_revoked_token_is_dead_within_the_interval(store: TokenStore) -> None:
    text = store.add("ada", [])
    other = store.add("bob", [])
    checker = Verifier(store)
    assert checker.verify(text)
    store.revoke(text.partition(".")[0])
    time.sleep(LOOK_EVERY)
    assert checker.verify(text) is None
    assert checker.verify(other)


def test_no_file_no_tokens(store: TokenStore, tmp_path: Path) -> None:
    text = store.add("ada", [])
    checker = Verifier(store)
    assert checker.verify(text)
    (tmp_path / "tokens.json").unlink()
    time.sleep(LOOK_EVERY)
    assert checker.verify(text) is None


def test_a_damaged_file_lets_no_caller_in(
    store: TokenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = store.add("ada", [])
    checker = Verifier(store)
    assert checker.verify(text)
    (tmp_path / "tokens.json").write_text("damaged")
    time.sleep(LOOK_EVERY)
    assert checker.verify(text) is None
    assert checker.verify(text) is None
    (record,) = caplog.records
    assert "no token is valid" in record.message


def test_expiry_counts_for_a_remembered_token_too(store: TokenStore) -> None:
    text = store.add("ada", [], time.time() + 0.05)
    checker = Verifier(store)
    assert checker.verify(text)
    time.sleep(0.06)
    assert checker.verify(text) is None


def test_the_cache_of_tokens_is_bounded(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "REMEMBERED", 2)
    texts = [store.add("ada", []) for _ in range(5)]
    checker = Verifier(store)
    for _ in range(2):
        assert all(checker.verify(text) for text in texts)
        assert len(checker._verified) <= 2


def test_tokens_that_expire_do_not_push_each_other_out(store: TokenStore) -> None:
    texts = [store.add(name, [], time.time() + 60) for name in ("ada", "bob")]
    checker = Verifier(store)
    for text in texts:
        assert checker.verify(text)
    assert set(checker._verified) == set(texts)


def test_expiry_counts_while_others_guess(store: TokenStore) -> None:
    """Every guess checks the file, and so postpones the next check."""
    text = store.add("ada", [], time.time() + 0.05)
    checker = Verifier(store)
    assert checker.verify(text)
    ends = time.time() + 0.06
    while time.time() < ends:
        assert checker.verify("nobody.guess") is None
    assert checker.verify(text) is None
