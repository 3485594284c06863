"""Only RemoteProtocolError is raised, whatever arrives: 100,000 damaged messages.

A seeded generator and a plain loop are many times faster than hypothesis, and a failure can be
found again by its number.
"""

from __future__ import annotations

import tracemalloc
from random import Random
from typing import TYPE_CHECKING, TypeAlias

import pytest

from trizmq.errors import RemoteProtocolError
from trizmq.wire import head, native, plain
from trizmq.wire import reading as dialects
from trizmq.wire.items import Part, Response
from trizmq.wire.mdp import MAJORTOMO, MDP01, MDP02
from trizmq.wire.reading import ForeignCall
from trizmq.wire.return_path import MalformedCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Frames: TypeAlias = list[bytes]

FRONTEND, BACKEND, CLIENT = 60_000, 30_000, 20_000

#: Bytes with a meaning: lengths and nesting of msgpack, JSON, text, MDP.
TELLING = (
    *(bytes([byte]) for byte in [0, 1, 2, 3, 4, 5, 6, 7, 0x7F, 0x90, 0x9F, 0xC0, 0xC1, 0xFF]),
    *(b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xc6\xff\xff\xff\xff"),
    *(b"{", b"}", b"[", b'"', b"\\ud800", b"\\", b"NaN", b"1e999", b"-", b"9" * 400, b"null"),
    *(b"\r\n", b"\n", b" ", b":", b"/", b"\xc3\x28", b"\xed\xa0\x80", b"\xe2\x80\xa8"),
    *(b"MDPC01", b"MDPC02", b"MDPW01", b"MDPW02", b"[" * 2000, b"\x91" * 2000, b'{"a":' * 500),
)


def spoil_frame(random: Random, frame: bytes) -> bytes:
    start = random.randrange(len(frame) + 1)
    end = start + random.randrange(4)
    match random.randrange(5):
        case 0:
            return frame[:start]
        case 1:
            return frame[:start] + random.choice(TELLING) + frame[end:]
        case 2:
            return frame[:start] + random.randbytes(end - start) + frame[end:]
        case 3:
            return frame[:start] + frame[end:]
    return random.randbytes(random.randrange(40))


def spoil(random: Random, frames: Frames) -> Frames:
    frames = list(frames)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(frames) + 1)
        match random.randrange(6):
            case 0:
                frames.insert(at, random.choice([b"", b"\x01", *TELLING[-6:], *frames]))
            case 1:
                del frames[at:]
            case 2:
                del frames[at : at + 1]
            case _ if frames:
                at %= len(frames)
                frames[at] = spoil_frame(random, frames[at])
    return frames


def spoiled(seed: int, count: int, good: list[Frames]) -> Iterator[Frames]:
    random = Random(seed)
    short = [[frame[:2000] for frame in frames] for frames in good]
    for _ in range(count):
        yield spoil(random, random.choice(short))


def survives(decode: Callable[[Frames], object], messages: Iterator[Frames]) -> tuple[int, int]:
    """Return how many messages were read and how many refused; other exceptions fail the test."""
    read, longest, refused = 0, 0, 0
    for number, frames in enumerate(messages):
        try:
            decode(frames)
            read += 1
        except RemoteProtocolError as error:
            refused += 1
            longest = max(longest, len(str(error)))
        except Exception as error:
            error.add_note(f"message {number}: {frames!r}")
            raise
    assert longest < 400
    return read, refused


def read_and_answer(frames: Frames) -> None:
    """Respond like a broker: to readable messages, and to malformed ones."""
    try:
        found = dialects.read(frames)
    except MalformedCall as error:
        error.return_path.encode(Response(0, error.status, {}, b""))
        raise
    if not isinstance(found, ForeignCall):
        native.encode(found)
        return
    found.return_path.encode(Response(0, 200, {}, b"{}"))
    if found.return_path.streams:
        found.return_path.encode(Part(0, 0, b""))


def spoiled_everywhere(good: list[Frames]) -> Iterator[Frames]:
    """Put every special byte at every position: random bytes miss deeply nested objects."""
    for frames in good:
        for number, frame in enumerate(frames):
            for place in range(len(frame) + 1 if len(frame) < 1000 else 0):
                for telling in TELLING:
                    before, after = frame[:place], frame[place:]
                    for spoiled in (before + telling + after, before + telling + after[1:]):
                        yield [*frames[:number], spoiled, *frames[number + 1 :]]


@pytest.mark.slow
def test_no_place_in_a_message_is_weak(client_messages: list[Frames]) -> None:
    read, refused = survives(read_and_answer, spoiled_everywhere(client_messages))
    assert read + refused > 50_000


@pytest.mark.slow
def test_no_place_in_a_workers_message_is_weak(worker_messages: list[Frames]) -> None:
    read, refused = survives(dialects.read_worker, spoiled_everywhere(worker_messages))
    assert read + refused > 10_000


@pytest.mark.slow
def test_the_frontend_survives(client_messages: list[Frames]) -> None:
    read, refused = survives(read_and_answer, spoiled(1, FRONTEND, client_messages))
    assert read > FRONTEND // 20
    assert refused > FRONTEND // 4


def test_nothing_is_retained_and_no_length_is_trusted(client_messages: list[Frames]) -> None:
    tracemalloc.start()
    try:
        survives(read_and_answer, spoiled(5, 5_000, client_messages))
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_the_backend_survives(worker_messages: list[Frames]) -> None:
    read, refused = survives(dialects.read_worker, spoiled(2, BACKEND, worker_messages))
    assert read > BACKEND // 20
    assert refused > BACKEND // 4


def test_a_client_survives_its_broker() -> None:
    good = {
        MDP01.decode_reply: [b"", b"MDPC01", b"users", b"{}"],
        MDP02.decode_reply: [b"MDPC02", b"\x03", b"users", b"{}"],
        MAJORTOMO.decode_reply: [b"", b"MDPC02", b"\x04", b"{}"],
        plain.decode_reply: [b"", b'{"status": 200, "headers": {"a": "b"}, "body": [1.5, ""]}'],
    }
    for seed, (decode, frames) in enumerate(good.items()):
        read, refused = survives(decode, spoiled(seed, CLIENT // len(good), [frames]))
        assert read
        assert refused


def test_heads_survive() -> None:
    good = [b"GET /users/1?x=1\r\nauthorization: Bearer a\r\n"]
    read, refused = survives(lambda frames: head.read(b"".join(frames)), spoiled(9, 10_000, [good]))
    assert read
    assert refused


def test_noise_survives() -> None:
    random = Random(4)
    noise = (
        [random.randbytes(random.randrange(30)) for _ in range(random.randrange(6))]
        for _ in range(20_000)
    )
    read, refused = survives(dialects.read, noise)
    assert read + refused == 20_000
