"""Sizes are checked before sending: the client itself responds to a call that is too large."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trizmq

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("target", "details", "status"),
    [
        ("/test/echo", {"body": bytes(20 * MIB)}, 413),
        ("/test/echo", {"body": bytes(16 * MIB + 1)}, 413),
        ("/test/echo", {"json": "x" * 17 * MIB}, 413),
        ("/test/" + "x" * 3000, {}, 414),
        ("/test/echo", {"query": {"a": "x" * 3000}}, 414),
        ("/test/echo", {"headers": {"a": "x" * 5000}}, 431),
        ("/test/echo", {"headers": {f"a{n}": "x" for n in range(65)}}, 431),
        ("/test/echo", {"headers": {f"a{n}": "x" * 4000 for n in range(5)}}, 431),
    ],
)
async def test_a_call_that_is_too_large_gets_a_response_immediately(
    any_client: Any, target: str, details: dict[str, Any], status: int
) -> None:
    with trio.fail_after(2):
        response = await any_client.post(target, **details)
    problem = response.json()
    assert (response.status, problem["status"], problem["executed"]) == (status, status, "no")
    assert response.content_type == "application/problem+json"
    assert await any_client.lives()


async def test_a_call_just_below_the_limit_is_sent(any_client: Any) -> None:
    response = await any_client.post("/test/json", body=b'"' + b"x" * (16 * MIB - 2) + b'"')
    assert response.status == 200


async def test_a_call_that_is_too_large_affects_no_other(serving: Any) -> None:
    other = trizmq.Router()

    @other.post("/test/slow")
    async def slow() -> int:
        await trio.sleep(0.5)
        return 1

    async with serving(other) as endpoint, trizmq.open_client(endpoint) as client:
        statuses: list[int] = []

        async def call() -> None:
            statuses.append((await client.post("/test/slow")).status)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(call)
                await trio.sleep(0.1)
                assert (await client.post("/test/slow", body=bytes(20 * MIB))).status == 413
    assert statuses == [200] * 20


async def test_a_broker_announces_its_limits(serving: Any, routes: Any) -> None:
    """They apply to the first call too, which is made before the broker's hello has arrived."""
    for mib, size, status in ((40, 20, 200), (40, 40, 413), (1, 2, 413), (1, 15, 413)):
        async with (
            serving(routes, limits={"body_bytes": mib * MIB}) as endpoint,
            trizmq.open_client(endpoint) as client,
        ):
            for _ in range(2):
                response = await client.post("/test/length", body=bytes(size * MIB + 1))
                assert response.status == status
                if status == 413:
                    assert response.json()["executed"] == "no"
            assert (await client.post("/test/echo")).status == 200


async def test_a_client_may_accept_larger_responses(serving: Any, routes: Any) -> None:
    limits = {"body_bytes": 40 * MIB}

    def ask(endpoint: str, **settings: Any) -> int:
        with trizmq.SyncClient(endpoint, **settings) as client:
            response = client.get("/test/large")
            assert response.status != 200 or len(response.body) == 20 * MIB
            return response.status

    async with serving(routes, limits=limits) as endpoint:
        assert await trio.to_thread.run_sync(ask, endpoint) == 500
        assert await trio.to_thread.run_sync(lambda: ask(endpoint, limits=limits)) == 200
        async with trizmq.open_client(endpoint, limits=limits) as client:
            assert len((await client.get("/test/large")).body) == 20 * MIB
        with pytest.raises(trizmq.ConfigError, match="unknown limit 'body'"):
            async with trizmq.open_client(endpoint, limits={"body": 1}):
                pass


async def test_without_a_broker_the_default_limits_hold() -> None:
    async with trizmq.open_client("tcp://127.0.0.1:9") as client:
        with trio.fail_after(2):
            assert (await client.post("/x", body=bytes(20 * MIB))).status == 413
            assert (await client.post("/x", body=bytes(20 * MIB))).status == 413
