"""Any client reaches any worker: MDP's commands and trizmq's items are equivalent."""

from __future__ import annotations

import orjson
import pytest

from trizmq.errors import RemoteProtocolError
from trizmq.wire import bridge
from trizmq.wire.bridge import DEFAULT_TTL_MS
from trizmq.wire.items import Call, Part, Response
from trizmq.wire.mdp import ClientFinal, ClientPartial, ClientRequest


def test_a_service_name_is_a_post() -> None:
    request = ClientRequest(b"users", (b"{}",))
    call = Call(0, DEFAULT_TTL_MS, "POST", "/users", {}, b"{}")
    assert bridge.call_of(request) == call
    assert bridge.request_of(call) == request


def test_a_request_line_is_itself_and_frame_boundaries_are_kept() -> None:
    request = ClientRequest(b"GET /users\na: b", (b"", b"x"))
    call = Call(0, DEFAULT_TTL_MS, "GET", "/users", {"a": "b"}, [b"", b"x"])
    assert bridge.call_of(request) == call
    assert bridge.request_of(call) == request


def test_a_bad_service_frame_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        bridge.call_of(ClientRequest(b"", (b"",)))


@pytest.mark.parametrize("body", [b"", b"x", [b"a", b""]])
def test_a_success_is_the_body_alone(body: bytes | list[bytes]) -> None:
    frames = (body,) if isinstance(body, bytes) else tuple(body)
    assert bridge.reply_of(Response(1, 201, {}, body), b"users") == ClientFinal(b"users", frames)
    assert bridge.reply_of(Part(1, 0, body), b"users") == ClientPartial(b"users", frames)


def test_a_problem_passes_as_it_is() -> None:
    headers = {"Content-Type": "application/problem+json; charset=utf-8"}
    response = Response(1, 404, headers, b'{"detail": "ours"}')
    assert bridge.reply_of(response, b"u") == ClientFinal(b"u", (b'{"detail": "ours"}',))


@pytest.mark.parametrize("status", [302, 404, 500, 799])
def test_other_responses_become_a_problem(status: int) -> None:
    reply = bridge.reply_of(Response(1, status, {"content-type": "text/plain"}, b"no"), b"users")
    (document,) = reply.body
    assert orjson.loads(document)["status"] == status


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, "application/json"),
        ({"content-type": "text/plain"}, "text/plain"),
        ({"etag": "1", "Content-Type": " Text/HTML ; charset=utf-8"}, "text/html"),
        ({"content-type": ""}, ""),
    ],
)
def test_a_media_type_has_no_parameters(headers: dict[str, str], kind: str) -> None:
    assert bridge.media_type(headers) == kind
