"""Access control with a client and a server in memory: 401, 403, public, scopes, admin."""

from __future__ import annotations

import logging
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
from trizmq_auth.store import TokenStore
from trizmq_auth.verifier import LOOK_EVERY

from trizmq import ConfigError, Principal, Router, hookimpl
from trizmq.testing import open_app

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from trizmq import Client

routes = Router("/things")


@routes.get("")
async def guarded() -> str:
    return "guarded"


@routes.get("/public", public=True)
async def public(principal: Principal | None) -> str | None:
    return principal.name if principal else "nobody"


@routes.post("", scopes=("things:read", "things:write"))
async def scoped() -> str:
    return "scoped"


class Things:
    """Return a plugin with routes that have different requirements."""

    @hookimpl
    def trizmq_register_routes(self) -> Router:
        return routes


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path)


def open_things(directory: Path, token: str | None = None) -> AbstractAsyncContextManager[Client]:
    return open_app(plugins=["auth", Things()], state_dir=directory, token=token)


async def test_whoami_returns_principal_and_scopes(store: TokenStore, tmp_path: Path) -> None:
    token = store.add("ada", ["b", "a"])
    async with open_things(tmp_path, token) as client:
        response = await client.get("/auth/whoami")
        assert response.json() == {"principal": "ada", "scopes": ["a", "b"]}


def invalid(store: TokenStore) -> dict[str, dict[str, str]]:
    good = store.add("ada", ["*"])
    revoked = store.add("ada", ["*"])
    store.revoke(revoked.partition(".")[0])
    expired = store.add("ada", ["*"], time.time() - 1)
    headers = {
        "missing": None,
        "empty": "",
        "no token": "Bearer",
        "no scheme": good,
        "another scheme": f"Basic {good}",
        "unknown": "Bearer nobody.nothing",
        "right id, wrong secret": f"Bearer {good[:-1]}",
        "right secret, wrong id": f"Bearer 0{good}",
        "revoked": f"Bearer {revoked}",
        "expired": f"Bearer {expired}",
    }
    return {why: {"authorization": value} if value else {} for why, value in headers.items()}


async def test_without_a_valid_token_401_and_one_body_for_all(
    store: TokenStore, tmp_path: Path
) -> None:
    answers = set()
    async with open_things(tmp_path) as client:
        for headers in invalid(store).values():
            response = await client.get("/things", headers=headers)
            assert response.status == 401
            assert response.headers["www-authenticate"] == "Bearer"
            document: dict[str, Any] = response.json()
            assert document.pop("request_id")
            answers.add(tuple(document.items()))
    (answer,) = answers
    assert dict(answer)["executed"] == "no"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_in_any_case(store: TokenStore, tmp_path: Path, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {store.add('ada', [])}"}
    async with open_things(tmp_path) as client:
        assert (await client.get("/things", headers=headers)).json() == "guarded"


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (["things:read", "things:write"], 200),
        (["*"], 200),
        (["things:read", "things:write", "more"], 200),
        (["things:read"], 403),
        (["things:*"], 403),
        ([], 403),
    ],
)
async def test_a_scoped_route_wants_all_its_scopes(
    store: TokenStore, tmp_path: Path, scopes: list[str], status: int
) -> None:
    async with open_things(tmp_path, store.add("ada", scopes)) as client:
        response = await client.post("/things")
        assert response.status == status
        if status == 403:
            assert "things:read things:write" in response.json()["detail"]
            assert response.json()["executed"] == "no"
            assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


async def test_a_public_route_is_open_and_knows_the_caller(
    store: TokenStore, tmp_path: Path
) -> None:
    token = store.add("ada", [])
    async with open_things(tmp_path) as client:
        assert (await client.get("/things/public")).json() == "nobody"
        wrong = {"authorization": "Bearer wrong"}
        assert (await client.get("/things/public", headers=wrong)).status == 401
    async with open_things(tmp_path, token) as client:
        assert (await client.get("/things/public")).json() == "ada"


async def test_an_unknown_path_is_404_and_a_wrong_method_405(
    store: TokenStore, tmp_path: Path
) -> None:
    async with open_things(tmp_path, store.add("ada", ["*"])) as client:
        assert (await client.get("/things/none")).status == 404
        assert (await client.delete("/things")).status == 405


async def test_tokens_come_and_go_while_the_server_runs(store: TokenStore, tmp_path: Path) -> None:
    async with open_things(tmp_path) as client:
        token = store.add("ada", [])
        headers = {"authorization": f"Bearer {token}"}
        assert (await client.get("/things", headers=headers)).status == 200
        store.revoke(token.partition(".")[0])
        time.sleep(LOOK_EVERY)  # noqa: ASYNC251 (real time must pass, and nothing else runs)
        assert (await client.get("/things", headers=headers)).status == 401


async def test_the_first_start_makes_an_admin_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_things(tmp_path):
        pass
    path = tmp_path / "admin-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text()
    (told,) = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert str(path) in told
    assert token not in caplog.text
    async with open_things(tmp_path, token) as client:
        assert (await client.get("/auth/whoami")).json() == {"principal": "admin", "scopes": ["*"]}
        assert (await client.post("/things")).status == 200
    assert path.read_text() == token  # the second start created none


async def test_no_admin_token_if_a_token_file_exists(store: TokenStore, tmp_path: Path) -> None:
    store.revoke(store.add("ada", []).partition(".")[0])
    async with open_things(tmp_path):
        assert not (tmp_path / "admin-token").exists()
    assert store.tokens() == []


async def test_two_apps_in_one_process_have_tokens_of_their_own(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    token = TokenStore(here).add("ada", [])
    async with open_things(here, token) as left, open_things(there, token) as right:
        assert (await left.get("/things")).status == 200
        assert (await right.get("/things")).status == 401
        assert (await left.get("/things")).status == 200


async def test_damaged_tokens_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("damaged")
    with pytest.raises(ConfigError, match=r"tokens\.json cannot be read"):
        async with open_things(tmp_path):
            raise AssertionError("open")
