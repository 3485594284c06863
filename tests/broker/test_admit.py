"""The verdicts of broker hooks are carried out, and unauthenticated calls reach no worker."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trizmq_auth.store import TokenStore
from trizmq_auth.verifier import LOOK_EVERY

import trizmq
from trizmq.testing import open_app

if TYPE_CHECKING:
    from pathlib import Path


class Things:
    """A plugin that returns the caller's name, and records the calls that reach the worker."""

    def __init__(self, service: str = "things") -> None:
        self.reached = list[str]()
        self.routes = trizmq.Router(f"/{service}")
        self.routes.get("/private")(self.private)
        self.routes.get("/scoped", scopes=("read",))(self.private)

    def private(self, request: trizmq.Request) -> Any:
        return request.principal and request.principal.name

    @trizmq.hookimpl
    def trizmq_register_routes(self) -> trizmq.Router:
        return self.routes

    @trizmq.hookimpl(tryfirst=True)
    def trizmq_precondition(self) -> Any:
        def note(request: trizmq.Request) -> None:
            self.reached.append(request.path)

        return note


class Others(Things):
    """Another plugin."""

    def __init__(self) -> None:
        super().__init__("others")


class Open(Things):
    """Another plugin, with a public route."""

    def __init__(self) -> None:
        super().__init__("open")
        self.routes.get("/public", public=True)(self.private)


class Says:
    """A plugin with one verdict for each call, and one for each response."""

    def __init__(self, call: Any = None, response: Any = None) -> None:
        self.call_verdict, self.response_verdict = call, response
        self.asked = list[trizmq.AdmittedCall]()

    @trizmq.hookimpl
    def trizmq_admit(self, call: trizmq.AdmittedCall) -> Any:
        self.asked.append(call)
        return self.call_verdict

    @trizmq.hookimpl
    def trizmq_admit_reply(self, call: trizmq.AdmittedCall, response: trizmq.Response) -> Any:
        assert call.response is response
        self.asked.append(call)
        return self.response_verdict


# -- verdicts --------------------------------------------------------------------------


async def test_trizmq_admit_forward_sets_the_principal() -> None:
    hook = Says(trizmq.Forward(trizmq.Principal("ada")))
    async with open_app([Things(), hook]) as client:
        assert (await client.get("/things/private?a=1", headers={"X-A": "b"})).json() == "ada"
    call, answered = hook.asked
    assert (call.service, call.method, call.target) == ("things", "GET", "/things/private?a=1")
    assert call.headers["x-a"] == "b"
    assert (call.dialect, call.response, call.has_public_routes) == ("native", None, False)
    assert call.request_id == answered.request_id
    assert answered.response is not None
    assert answered.response.json() == "ada"


async def test_trizmq_admit_reject_responds_and_no_handler_is_reached() -> None:
    things, hook = Things(), Says(trizmq.Reject(403, "not today", {"x-why": "so"}))
    async with open_app([things, hook]) as client:
        response = await client.get("/things/private")
    assert (response.status, response.headers["x-why"]) == (403, "so")
    assert response.json()["detail"] == "not today"
    assert response.json()["executed"] == "no"
    assert response.json()["request_id"] == hook.asked[0].request_id
    assert things.reached == []


async def test_trizmq_admit_reject_replaces_a_response() -> None:
    things, hook = Things(), Says(None, trizmq.Reject(502, "not fit to be seen"))
    async with open_app([things, hook]) as client:
        response = await client.get("/things/private")
    assert (response.status, response.json()["executed"]) == (502, "maybe")
    assert things.reached == ["/things/private"]


@pytest.mark.parametrize("verdicts", [(trizmq.Discard(), None), (None, trizmq.Discard())])
async def test_trizmq_admit_discard_leaves_the_caller_without_a_response(
    verdicts: tuple[Any, Any], autojump_clock: Any
) -> None:
    async with open_app([Things(), Says(*verdicts)]) as client:
        with pytest.raises(trizmq.DeadlineExceeded):
            await client.get("/things/private")


async def test_trizmq_admit_send_to_another_service() -> None:
    things, hook = Things(), Says(trizmq.SendTo("others"))
    async with open_app([things, Others(), hook]) as client:
        assert (await client.get("/things/private")).status == 404  # None: there is no principal
    assert things.reached == ["/others/private"]


async def test_trizmq_admit_rejects_every_call_if_the_hook_is_broken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    things = Things()
    async with open_app([things, Says("forward")]) as client:
        assert (await client.get("/things/private")).status == 500
    assert things.reached == []
    assert "trizmq_admit failed" in caplog.text


# -- auth at the broker ----------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path)


@pytest.fixture
def things() -> Things:
    return Things()


@pytest.fixture
def opened(tmp_path: Path, things: Things) -> Any:
    """Serve auth, a private service and an open one; auth is called first."""
    return partial(open_app, ["auth", things, Open()], state_dir=tmp_path)


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_calls_without_a_valid_token_reach_no_worker(
    store: TokenStore, things: Things, opened: Any
) -> None:
    store.add("ada", [])
    async with opened() as client:
        for headers in ({}, bearing("wrong"), {"authorization": "Basic YQ=="}):
            for path in ("/things/private", "/things/none", "/others/private"):
                response = await client.get(path, headers=headers)
                assert response.status == 401
                assert response.headers["www-authenticate"] == "Bearer"
                assert response.json()["executed"] == "no"
    assert things.reached == []


async def test_calls_with_a_valid_token_have_its_principal_and_scopes(
    store: TokenStore, opened: Any
) -> None:
    reader, other = store.add("ada", ["read"]), store.add("bob", [])
    async with opened() as client:
        for token, path, status in [
            (reader, "/things/private", 200),
            (reader, "/things/scoped", 200),
            (other, "/things/private", 200),
            (other, "/things/scoped", 403),
            (other, "/things/none", 404),
            (other, "/others/private", 404),
        ]:
            assert (await client.get(path, headers=bearing(token))).status == status
        whoami = await client.get("/auth/whoami", headers=bearing(reader))
        assert whoami.json() == {"principal": "ada", "scopes": ["read"]}


async def test_a_service_with_public_routes_is_reached_and_guards_the_others(
    store: TokenStore, opened: Any
) -> None:
    token = store.add("ada", [])
    documents = set()
    async with opened() as client:
        assert (await client.get("/open/public")).status == 404  # None: there is no principal
        assert (await client.get("/open/public", headers=bearing(token))).json() == "ada"
        assert (await client.get("/open/public", headers=bearing("wrong"))).status == 401
        for path in ("/open/private", "/things/private"):  # refused by worker, by broker
            response = await client.get(path, headers={"x-request-id": "r-1"})
            documents.add((response.status, response.body, *response.headers.items()))
    assert len(documents) == 1


async def test_a_revoked_token_is_refused_immediately(store: TokenStore, opened: Any) -> None:
    token = store.add("ada", [])
    async with opened(token=token) as client:
        assert (await client.get("/things/private")).status == 200
        store.revoke(token.partition(".")[0])
        await trio.sleep(LOOK_EVERY)
        assert (await client.get("/things/private")).status == 401


async def test_everyone_can_list_the_services(opened: Any) -> None:
    async with opened() as client:
        services = (await client.get("/mmi/services")).json()
        assert {service["name"] for service in services} == {"auth", "things", "open"}
        assert (await client.get("/mmi/services", headers=bearing("wrong"))).status == 401


async def test_the_principal_of_another_plugin_is_accepted(tmp_path: Path, things: Things) -> None:
    hook = Says(trizmq.Forward(trizmq.Principal("ada", frozenset({"read"}))))
    async with open_app([hook, "auth", things], state_dir=tmp_path) as client:
        assert (await client.get("/things/scoped")).json() == "ada"
        assert (await client.get("/things/scoped", headers=bearing("wrong"))).status == 401


async def test_auth_works_on_real_sockets(serving: Any, tmp_path: Path, things: Things) -> None:
    (tmp_path / "state").mkdir()
    token = TokenStore(tmp_path / "state").add("ada", [])
    async with serving("auth", things) as endpoint:
        async with trizmq.open_client(endpoint) as client:
            assert (await client.get("/things/private")).status == 401
        assert things.reached == []
        async with trizmq.open_client(endpoint, token=token) as client:
            assert (await client.get("/things/private")).json() == "ada"
