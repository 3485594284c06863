"""Items become messages that a peer can take: none too long, none with too many frames."""

from __future__ import annotations

from trizmq.wire import native
from trizmq.wire.batches import batches
from trizmq.wire.items import MAX_BODY_FRAMES, Call, Heartbeat, Item, Response


def call(number: int, body: bytes | list[bytes]) -> Call:
    return Call(number, 1000, "POST", "/users", {}, body)


def read(items: list[Item]) -> list[Item]:
    """Write ``items``, check each message, and read them all back."""
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
    """Else a batch of such would be a frame that no peer lets in."""
    items: list[Item] = [call(number, [bytes(native.LARGE)] * 100) for number in range(4)]
    assert read(items) == items


def test_a_response_that_cannot_be_written_takes_no_other_with_it() -> None:
    first, second = read([Response(1, 200, {"a": "\ud800"}, b""), Response(2, 200, {}, b"")])
    assert isinstance(first, Response)
    assert (first.id, first.status) == (1, 500)
    assert second == Response(2, 200, {}, b"")
