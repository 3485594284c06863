"""MMI (ZeroMQ RFC 8): what the broker reports about itself, in every dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from trizmq.wire import reading as dialects
from trizmq.wire.items import VERSION, Hello, Takes
from trizmq.wire.reading import ForeignCall

if TYPE_CHECKING:
    from tests.broker.conftest import BrokerRig, MakeBroker, ReadProblem

OPENINGS = {
    "mdp01": ([b"", b"MDPC01"], [b"", b"MDPC01"]),
    "mdp02": ([b"MDPC02", b"\x01"], [b"MDPC02", b"\x03"]),
}


@pytest.mark.parametrize("dialect", OPENINGS)
@pytest.mark.parametrize(
    ("service", "body", "code"),
    [
        (b"mmi.service", b"users", b"200"),
        (b"mmi.service", b"nobody", b"404"),
        (b"mmi.service", b"\xff", b"404"),
        (b"mmi.service", b"", b"404"),
        (b"mmi.echo", b"users", b"501"),
        (b"mmi.", b"users", b"501"),
    ],
)
def test_mmi_service_follows_rfc_8(
    make_broker: MakeBroker, dialect: str, service: bytes, body: bytes, code: bytes
) -> None:
    rig = make_broker()
    opening, reply = OPENINGS[dialect]
    received = dialects.read([*opening, service, body])
    assert isinstance(received, ForeignCall)
    rig.frontend.receive_foreign(b"f", received.call, received.return_path, 0.0)
    rig.act()
    assert rig.messages == [(b"f", [*reply, service, code])]
    rig.assert_nothing_is_left()


def test_a_service_without_a_worker_is_none(rig: BrokerRig) -> None:
    rig.call(1, "/mmi.service", body=b"users")
    rig.call(2, "/mmi.service", body=b"mmi.service")
    assert [response.body for response in rig.responses()] == [b"200", b"404"]


def test_services_are_listed_with_their_workers(make_broker: MakeBroker) -> None:
    rig = make_broker(services=("users", "orders"))
    rig.greet(b"a")
    rig.call(1)
    rig.call(2)
    rig.call(3, "/mmi/services?x", method="GET")
    [response] = rig.responses()
    assert isinstance(response.body, bytes)
    assert (response.status, orjson.loads(response.body)) == (
        200,
        [
            {"name": "orders", "workers": 1, "queued": 0, "in_flight": 0},
            {"name": "users", "workers": 1, "queued": 1, "in_flight": 1},
        ],
    )


def test_head_is_get_without_the_body(rig: BrokerRig) -> None:
    rig.call(1, "/mmi/services", method="HEAD")
    [response] = rig.responses()
    assert (response.status, response.body) == (200, b"")


def test_any_other_request_is_refused(rig: BrokerRig) -> None:
    rig.call(1, "/mmi/services", method="POST")
    rig.call(2, "/mmi/other", method="GET")
    wrong_method, unknown = rig.responses()
    assert (wrong_method.status, wrong_method.headers["allow"]) == (405, "GET, HEAD")
    assert unknown.status == 404


@pytest.mark.parametrize("report", ["services", "routes", "workers"])
def test_a_response_that_is_too_large_for_the_client_is_a_500(
    make_broker: MakeBroker, read_problem: ReadProblem, report: str
) -> None:
    rig = make_broker(services=tuple(f"service-{number}" for number in range(100)))
    rig.worker.routes = tuple(f"GET /{service}" for service in rig.worker.services)
    rig.greet(b"large")
    rig.receive(Hello(VERSION, "small", takes=Takes(body_bytes=1024)), address=b"small")
    rig.call(1, f"/mmi/{report}", method="GET", address=b"large")
    [whole] = rig.responses(b"large")
    assert whole.status == 200
    assert isinstance(whole.body, bytes)
    assert len(whole.body) > 1024
    rig.call(1, f"/mmi/{report}", method="GET", address=b"small")
    [response] = rig.responses(b"small")
    assert response.status == 500
    assert isinstance(response.body, bytes)
    assert len(response.body) <= 1024
    assert f"the response has {len(whole.body)} bytes" in read_problem(response)["detail"]
    rig.assert_nothing_is_left()
