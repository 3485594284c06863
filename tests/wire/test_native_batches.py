"""Items are encoded as messages within a peer's limits on bytes and frames."""

from __future__ import annotations

from random import Random

import pytest

from trizmq.limits import limits_of
from trizmq.wire import native
from trizmq.wire.items import MAX_BODY_FRAMES, Call, Heartbeat, Item, Part, Response
from trizmq.wire.native import batches


def call(number: int, body: bytes | list[bytes]) -> Call:
    return Call(number, 1000, "POST", "/users", {}, body)


def read(items: list[Item]) -> list[Item]:
    """Encode ``items``, check each message, and decode them all."""
    found: list[Item] = []
    for frames, count in batches(items):
        assert len(frames) <= native.MAX_FRAMES
        assert len(frames[0]) < 2_000_000
        decoded = native.decode(frames)
        assert len(decoded) == count <= native.BATCH
        found += decoded
    return found


def test_many_items_are_several_messages() -> None:
    items: list[Item] = [call(number, b"") for number in range(2 * native.BATCH + 8)]
    assert read(items) == items
    assert len(batches(items)) == 3


def test_bodies_with_too_many_frames_together_travel_alone() -> None:
    many = [bytes(native.LARGE + 1)] + [b""] * (MAX_BODY_FRAMES - 1)
    items: list[Item] = [call(1, many), Heartbeat(), call(2, many)]
    assert read(items) == items


def test_many_small_frames_of_a_large_body_are_set_apart() -> None:
    """Otherwise a batch of them would be a frame that peers refuse."""
    items: list[Item] = [call(number, [bytes(native.LARGE)] * 100) for number in range(4)]
    assert read(items) == items


def test_a_response_that_cannot_be_written_takes_no_other_with_it() -> None:
    first, second = read([Response(1, 200, {"a": "\ud800"}, b""), Response(2, 200, {}, b"")])
    assert isinstance(first, Response)
    assert (first.id, first.status) == (1, 500)
    assert second == Response(2, 200, {}, b"")


@pytest.mark.parametrize("body_bytes", [1024, 40 * 1024, 2**20, 2**24, 2**26])
@pytest.mark.parametrize("headers_bytes", [1024, 16 * 1024, 32 * 1024])
def test_no_message_is_larger_than_its_receiver_takes(body_bytes: int, headers_bytes: int) -> None:
    limits = limits_of({"body_bytes": body_bytes, "headers_bytes": headers_bytes})
    most = limits.takes.message_bytes
    random = Random(body_bytes + headers_bytes)
    fields = {f"a{n}": "x" * 1000 for n in range(headers_bytes // 1024)}
    sizes = [0, 100, min(body_bytes, 32 * 1024), min(body_bytes, 32 * 1024 + 1), body_bytes]
    items: list[Item] = []
    for number in range(100):
        body = bytes(random.choice(sizes if number % 10 == 0 else sizes[:4]))
        headers = random.choice([{}, fields])
        made: list[Item] = [
            Response(number, 200, headers, body),
            Call(number, 1, "GET", "/" + "x" * 2000, headers, body, None, "x" * 1000),
            Part(number, 0, body),
        ]
        items.append(random.choice(made))
    left_out: list[Item] = []
    found: list[Item] = []
    for frames, count in batches(items, most, left_out):
        assert sum(map(len, frames)) <= most
        decoded = native.decode(frames)
        assert len(decoded) == count
        found += decoded
    assert found == items
    assert left_out == []


def test_an_item_that_is_too_large_does_not_affect_others() -> None:
    large = {"a": "x" * 70_000}
    items: list[Item] = [
        Response(1, 200, {}, b"1"),
        Response(2, 200, large, b"2"),
        Call(3, 1, "GET", "/", large, b""),
        Response(4, 200, {}, b"4"),
    ]
    left_out: list[Item] = []
    written = batches(items, 65_000, left_out)
    found = [item for frames, _ in written for item in native.decode(frames)]
    assert left_out == [items[2]]
    assert [(item.id, item.status) for item in found if isinstance(item, Response)] == [
        (1, 200),
        (2, 500),
        (4, 200),
    ]


def test_one_that_cannot_be_written_and_is_no_response_is_left_out() -> None:
    bad = Call(1, 1, "GET", "/\ud800", {}, b"")
    left_out: list[Item] = []
    ((frames, count),) = batches([bad, Heartbeat()], left_out=left_out)
    assert (native.decode(frames), count, left_out) == ([Heartbeat()], 1, [bad])
    assert batches([bad]) == []
