"""The wire format of the C library majordomo, byte by byte, as its code generator produces it."""

from __future__ import annotations

from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq.errors import LocalProtocolError, RemoteProtocolError
from trizmq.wire import packed
from trizmq.wire import reading as dialects
from trizmq.wire.items import Part, Response
from trizmq.wire.mdp import (
    PACKED,
    ClientFinal,
    ClientPartial,
    ClientRequest,
    Command,
    Disconnect,
    Final,
    Heartbeat,
    Partial,
    Ready,
    Reply,
    Request,
)
from trizmq.wire.reading import ForeignCall, ForeignCommand
from trizmq.wire.return_path import MalformedCall, MalformedCommand

Frames: TypeAlias = list[bytes]

C = bytes.fromhex("064d4450433032")  # the string MDPC02
W = bytes.fromhex("064d4450573032")  # the string MDPW02
ECHO = bytes.fromhex("046563686f")  # the string echo


def opening(number: int, version: bytes, code: int, service: bytes = b"") -> bytes:
    return b"\xaa\xa4" + bytes([number]) + version + bytes([code]) + service


WORKER: list[tuple[Frames, Command]] = [
    ([opening(4, W, 1, ECHO)], Ready("echo")),
    ([opening(5, W, 2), b"C1", b"", b"{}"], Request(b"C1", (b"{}",))),
    ([opening(6, W, 3), b"C1", b"", b"a", b""], Partial(b"C1", (b"a", b""))),
    ([opening(7, W, 4), b"C1", b"", b""], Final(b"C1", (b"",))),
    ([opening(8, W, 5)], Heartbeat()),
    ([opening(9, W, 6)], Disconnect()),
]

CLIENT: list[tuple[Frames, Reply]] = [
    ([opening(2, C, 2, ECHO), b"a", b"b"], ClientPartial(b"echo", (b"a", b"b"))),
    ([opening(3, C, 3, ECHO), b""], ClientFinal(b"echo", (b"",))),
]


def test_every_row_is_written_by_hand_above() -> None:
    assert [type(command) for _, command in WORKER] == list(PACKED.worker)
    assert [ClientRequest, *(type(reply) for _, reply in CLIENT)] == list(PACKED.client)


def test_the_first_frame_byte_by_byte() -> None:
    assert PACKED.encode_request(ClientRequest(b"echo", (b"x",))) == [
        b"\xaa\xa4\x01\x06MDPC02\x01\x04echo",
        b"x",
    ]
    assert PACKED.encode_worker(Ready("echo")) == [b"\xaa\xa4\x04\x06MDPW02\x01\x04echo"]
    assert PACKED.encode_worker(Heartbeat()) == [b"\xaa\xa4\x08\x06MDPW02\x05"]


@pytest.mark.parametrize(("frames", "command"), WORKER)
def test_the_worker_table(frames: Frames, command: Command) -> None:
    assert PACKED.decode_worker(frames) == command
    assert PACKED.encode_worker(command) == frames


@pytest.mark.parametrize(("frames", "reply"), CLIENT)
def test_the_client_table(frames: Frames, reply: Reply) -> None:
    assert PACKED.decode_reply(frames) == reply
    assert PACKED.encode_reply(reply) == frames


def test_a_body_may_have_no_frame() -> None:
    """An unset zmsg sends no frame; in RFC 18's frames, an empty body is one empty frame."""
    assert PACKED.decode_request([opening(1, C, 1, ECHO)]) == ClientRequest(b"echo", (b"",))
    assert PACKED.decode_worker([opening(7, W, 4), b"C1", b""]) == Final(b"C1", (b"",))
    assert PACKED.decode_reply([opening(3, C, 3, ECHO)]) == ClientFinal(b"echo", (b"",))


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"\xaa\xa4"],
        [opening(7, W, 4)],
        [opening(7, W, 4), b"C1"],
        [opening(7, W, 4), b"", b"", b"x"],
        [opening(6, W, 4), b"C1", b"", b"x"],  # two numbers that differ
        [opening(4, W, 1)],
        [opening(4, W, 1, b"\x05echo")],
        [opening(4, W, 1, b"\x03echo")],
        [opening(4, W, 1, b"\x00")],
        [opening(4, W, 1, ECHO), b"more"],
        [opening(8, W, 5, b"\x00")],
        [opening(8, W, 5), b""],
        [opening(10, W, 7)],
        [opening(3, W, 0)],
        [b"\xaa\xa3" + opening(8, W, 5)[2:]],
        [b"\xaa\xa4\x08\x07MDPW02\x05"],
        [b"\xaa\xa4\x08\x06MDPW01\x05"],
    ],
)
def test_invalid_commands_of_workers(frames: Frames) -> None:
    with pytest.raises(RemoteProtocolError):
        PACKED.decode_worker(frames)


def test_a_service_that_is_too_long_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="256 bytes"):
        PACKED.encode_request(ClientRequest(b"x" * 256, (b"",)))


@given(st.binary(max_size=255), st.lists(st.binary(max_size=3), min_size=1, max_size=4))
def test_packing_and_unpacking_are_inverse(service: bytes, body: Frames) -> None:
    frames = [b"MDPC02", b"\x01", service, *body]
    assert packed.unpack(packed.pack(frames)) == frames
    frames = [b"MDPW02", b"\x04", service, b"", *body]
    assert packed.unpack(packed.pack(frames)) == frames


# -- at the broker -------------------------------------------------------------------------


@pytest.mark.parametrize("envelope", [[], [b""], [b"one", b""]])
def test_a_clients_call_and_its_answers(envelope: Frames) -> None:
    read = dialects.read([*envelope, opening(1, C, 1, ECHO), b"a", b"", b"b"])
    assert isinstance(read, ForeignCall)
    assert (read.call.target, read.call.body) == ("/echo", [b"a", b"", b"b"])
    assert (read.return_path.dialect, read.return_path.streams) == ("packed", True)
    final = read.return_path.encode(Response(0, 200, {}, b"x"))
    assert final == [*envelope, opening(3, C, 3, ECHO), b"x"]
    part = read.return_path.encode(Part(0, 0, b"y"))
    assert part == [*envelope, opening(2, C, 2, ECHO), b"y"]


@pytest.mark.parametrize(
    "frames",
    [
        [opening(1, C, 1)],
        [opening(1, C, 1, b"\x09echo"), b"x"],
        [opening(2, C, 2, ECHO), b"x"],
        [opening(7, C, 1, ECHO), b"x"],
        [opening(1, C, 1, b"\x00"), b"x"],
        [opening(1, C, 1, ECHO), *[b""] * 33],
    ],
)
def test_a_clients_mistake_can_be_answered(frames: Frames) -> None:
    with pytest.raises(MalformedCall) as caught:
        dialects.read(frames)
    assert caught.value.return_path.dialect == "packed"
    first, _ = caught.value.return_path.encode(Response(0, 400, {}, b"x"))
    assert first[:11] == opening(3, C, 3)


def test_a_worker_is_known_and_its_mistakes_too() -> None:
    assert dialects.read_worker([opening(4, W, 1, ECHO)]) == ForeignCommand("packed", Ready("echo"))
    with pytest.raises(MalformedCommand) as caught:
        dialects.read_worker([opening(7, W, 4), b"C1"])
    assert caught.value.dialect == "packed"
    with pytest.raises(MalformedCommand):
        dialects.read([opening(4, W, 1, ECHO)])  # at the clients' port


def test_a_request_line_travels_as_the_service() -> None:
    head = b"GET /users/1\nauthorization: Bearer a"
    read = dialects.read([opening(1, C, 1, bytes([len(head)]) + head), b""])
    assert isinstance(read, ForeignCall)
    assert (read.call.method, read.call.target) == ("GET", "/users/1")
    assert read.call.headers == {"authorization": "Bearer a"}
