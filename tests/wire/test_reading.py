"""The first frames determine the dialect, and the response returns along the same path."""

from __future__ import annotations

from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq.errors import LocalProtocolError, RemoteProtocolError
from trizmq.wire import native
from trizmq.wire import reading as dialects
from trizmq.wire.items import Heartbeat, Item, Part, Response
from trizmq.wire.mdp import Final, Ready
from trizmq.wire.mdp import Heartbeat as MdpHeartbeat
from trizmq.wire.reading import ForeignCall, ForeignCommand
from trizmq.wire.return_path import MalformedCall, MalformedCommand, ReturnPath

Frames: TypeAlias = list[bytes]

OK = Response(1, 200, {}, b"[]")
PART = Part(1, 0, b"p")

# dialect: the request, the final reply, the partial reply; all after the delimiter.
BEHIND: dict[str, tuple[Frames, Frames, Frames | None]] = {
    "mdp01": (
        [b"MDPC01", b"users", b"{}"],
        [b"MDPC01", b"users", b"[]"],
        None,
    ),
    "mdp02": (
        [b"MDPC02", b"\x01", b"users", b"{}"],
        [b"MDPC02", b"\x03", b"users", b"[]"],
        [b"MDPC02", b"\x02", b"users", b"p"],
    ),
    "majortomo": (
        [b"MDPC02", b"\x02", b"users", b"{}"],
        [b"MDPC02", b"\x04", b"[]"],
        [b"MDPC02", b"\x03", b"p"],
    ),
    "plain": (
        [b'{"method": "POST", "path": "/users", "body": {}}'],
        [b'{"status":200,"body":[]}'],
        None,
    ),
}

# libzmq's own ids begin with a zero byte; peers may choose any other. The last ones begin like a
# batch, and the very last one *is* a batch.
ADDRESSES = [b"\0\1\2\3\4", b"queue", b"\x91" * 255, b"\xdc", native.encode([Heartbeat()])[0]]


def foreign(frames: Frames) -> ForeignCall:
    found = dialects.read(frames)
    assert isinstance(found, ForeignCall)
    return found


@pytest.mark.parametrize("depth", range(5))
@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("dialect", BEHIND)
def test_every_envelope_is_kept_and_repeated(dialect: str, address: bytes, depth: int) -> None:
    request, final, partial = BEHIND[dialect]
    envelope = [address] * depth + [b""]
    call, return_path = foreign([*envelope, *request])
    assert (call.id, call.method, call.target, call.body) == (0, "POST", "/users", b"{}")
    assert (return_path.dialect, return_path.envelope) == (dialect, tuple(envelope))
    assert return_path.encode(OK) == [*envelope, *final]
    assert return_path.streams == (partial is not None)
    if partial is not None:
        assert return_path.encode(PART) == [*envelope, *partial]
    else:
        with pytest.raises(LocalProtocolError, match="gather"):
            return_path.encode(PART)


def test_rfc_18_to_the_letter_has_no_delimiter() -> None:
    call, return_path = foreign([b"MDPC02", b"\x01", b"users", b"{}"])
    assert call.target == "/users"
    assert return_path == ReturnPath("mdp02", (), b"users")
    assert return_path.encode(OK) == [b"MDPC02", b"\x03", b"users", b"[]"]
    assert return_path.encode(PART) == [b"MDPC02", b"\x02", b"users", b"p"]


def test_native_is_native(every_item: list[Item]) -> None:
    frames = native.encode(every_item)
    assert dialects.read(frames) == every_item
    assert dialects.read_worker(frames) == every_item


def test_a_native_body_may_look_like_anything() -> None:
    large = b"x" * (native.LARGE + 1)
    item = Response(1, 200, {}, [b"", b"MDPC01", b"users", large])
    assert dialects.read(native.encode([item])) == [item]


@pytest.mark.parametrize("header", [b"MDPC01", b"MDPC02"])
def test_a_body_may_look_like_an_envelope(header: bytes) -> None:
    frames = [b"MDPC02", b"\x01", b"users", b"", b'{"path": "/other"}']
    assert foreign(frames).call.body == [b"", b'{"path": "/other"}']
    frames = [b"", header, *[b"\x01"][: header == b"MDPC02"], b"users", b"", b"MDPC01", b"x"]
    assert foreign(frames).call.body == [b"", b"MDPC01", b"x"]


def test_the_service_frame_comes_back_byte_for_byte() -> None:
    asked = b"get /users\r\nA:  b\r\n"
    assert foreign([b"", b"MDPC01", asked, b""]).return_path.encode(OK)[2] == asked


def test_white_space_may_precede_the_object() -> None:
    assert foreign([b"", b'\r\n {"path": "/users"}']).call.target == "/users"


@pytest.mark.parametrize(
    ("frames", "answer"),
    [
        ([b"", b"MDPC01", b"", b"x"], [b"", b"MDPC01", b"", b"[]"]),
        ([b"a", b"", b"MDPC01", b"G /\0", b"x"], [b"a", b"", b"MDPC01", b"G /\0", b"[]"]),
        ([b"MDPC02", b"\x01", b"\xff", b"x"], [b"MDPC02", b"\x03", b"\xff", b"[]"]),
        ([b"", b"MDPC02", b"\x02", b"\n", b"x"], [b"", b"MDPC02", b"\x04", b"[]"]),
        ([b"", b"{"], [b"", b'{"status":200,"body":[]}']),
        ([b"a", b"", b'{"colour": 1}'], [b"a", b"", b'{"status":200,"body":[]}']),
        ([b"\x91", b"", b"{}"], [b"\x91", b"", b'{"status":200,"body":[]}']),
    ],
)
def test_a_malformed_call_has_a_return_path(frames: Frames, answer: Frames) -> None:
    with pytest.raises(MalformedCall) as caught:
        dialects.read(frames)
    assert caught.value.status == 400
    assert caught.value.return_path.encode(OK) == answer


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"hello",
        b"hello, \xff",
        b"[]",
        b"null",
        b"1",
        b'"GET /users"',
        b"GET /users HTTP/1.1\r\n\r\n",
        b'\xef\xbb\xbf{"path": "/users"}',
        '{"path": "/users"}'.encode("utf-16"),
        '{"path": "/users"}'.encode("utf-16-le"),
        '{"path": "/users"}'.encode("utf-32"),
        b"\x91\x91\x06",
        b"\xaa\xa4\x01",
        b"MDPC03",
        b"MDPC",
    ],
)
@pytest.mark.parametrize("addresses", [[], [b"one"], [b"one", b"two"]])
@pytest.mark.parametrize("more", [[], [b""], [b"users", b"{}"]])
def test_whatever_a_req_socket_sends_can_be_answered(
    payload: bytes, addresses: Frames, more: Frames
) -> None:
    envelope = [*addresses, b""]
    with pytest.raises(MalformedCall) as caught:
        dialects.read([*envelope, payload, *more])
    assert caught.value.status == 400
    assert caught.value.return_path.dialect == "plain"
    [*repeated, document] = caught.value.return_path.encode(OK)
    assert repeated == envelope
    assert document == b'{"status":200,"body":[]}'


KNOWN = [b"", b"MDPC01", b"MDPC02", b"MDPW01", b"MDPW02", b"\x01", b"\x02", b"users", b"{", b"\x91"]
PACKED = [b"\xaa\xa4\x01\x06MDPC02\x01\x05users", b"\xaa\xa4\x07\x06MDPW02", b'{"path": "/"}']


@given(
    st.lists(st.binary(max_size=8).map(b"\0".__add__), max_size=3),
    st.lists(st.sampled_from([*KNOWN, *PACKED]) | st.binary(max_size=30), min_size=1, max_size=5),
)
def test_every_message_with_a_delimiter_gets_a_response(addresses: Frames, message: Frames) -> None:
    try:
        read = dialects.read([*addresses, b"", *message])
    except (MalformedCall, MalformedCommand):
        return
    assert isinstance(read, ForeignCall)


def test_even_an_empty_message_can_be_answered() -> None:
    with pytest.raises(MalformedCall):
        dialects.read([b""])


@pytest.mark.parametrize(
    ("frames", "dialect"),
    [
        ([b"", b"MDPC01"], "mdp01"),
        ([b"", b"MDPC01", b"users"], "mdp01"),
        ([b"q", b"", b"MDPC01", b"users"], "mdp01"),
        ([b"MDPC02"], "mdp02"),
        ([b"MDPC02", b"\x01"], "mdp02"),
        ([b"MDPC02", b"\x01", b"users"], "mdp02"),
        ([b"MDPC02", b"\x02", b"users", b""], "mdp02"),
        ([b"MDPC02", b"", b"users", b""], "mdp02"),
        ([b"", b"MDPC02"], "mdp02"),
        ([b"", b"MDPC02", b"\x01", b"users"], "mdp02"),
        ([b"", b"MDPC02", b"\x04", b"users", b""], "mdp02"),
        ([b"", b"MDPC02", b"\x02"], "majortomo"),
        ([b"", b"MDPC02", b"\x02", b"users"], "majortomo"),
        ([b"", b"MDPC01", b"users", *[b""] * 33], "mdp01"),
        ([b"MDPC02", b"\x01", b"users", *[b""] * 33], "mdp02"),
        ([b"\x91", b"", b"MDPC01", b"users", *[b""] * 33], "mdp01"),
        ([b"", b'{"path": "/"}', *[b""] * 33], "plain"),
    ],
)
def test_a_call_without_a_body_or_with_too_many_frames_can_be_answered(
    frames: Frames, dialect: str
) -> None:
    with pytest.raises(MalformedCall) as caught:
        dialects.read(frames)
    assert caught.value.return_path.dialect == dialect
    assert caught.value.return_path.encode(OK)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no known client dialect"),
        ([b"hello"], "no known client dialect"),
        ([b"{}"], "no known client dialect"),
        ([b"MDPC01", b"users", b"{}"], "no known client dialect"),
        ([b"MDPC01", b"users", b"", b"{}"], "no known client dialect"),
        ([b"x", b"MDPC02", b"\x01", b"users", b"", b"{}"], "no known client dialect"),
        ([b"x" * 256, b"", b"MDPC01", b"users", b""], "no known client dialect"),
        ([*[b"x"] * 33, b"", b"MDPC01", b"users", b""], "no known client dialect"),
        ([b"\x91"], "not a native batch"),
    ],
)
def test_invalid_messages_of_clients(frames: Frames, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message) as caught:
        dialects.read(frames)
    assert type(caught.value) is RemoteProtocolError


@pytest.mark.parametrize(
    ("frames", "dialect"),
    [
        ([b"", b"MDPW01", b"\x04"], "mdp01"),
        ([b"MDPW02", b"\x05"], "mdp02"),
        ([b"", b"MDPW02"], "majortomo"),
    ],
)
def test_a_worker_at_the_clients_port_can_be_sent_away(frames: Frames, dialect: str) -> None:
    with pytest.raises(MalformedCommand, match="a worker command on the frontend") as caught:
        dialects.read(frames)
    assert caught.value.dialect == dialect


@pytest.mark.parametrize("addresses", [[], [b"x"] * 32])
def test_as_many_frames_as_are_allowed(addresses: Frames) -> None:
    body = [b""] * dialects.MAX_REQUEST_FRAMES
    assert foreign([*addresses, b"", b"MDPC01", b"users", *body]).call.body == body
    body = [b""] * dialects.MAX_REPLY_FRAMES
    reply = dialects.read_worker([b"", b"MDPW01", b"\x03", b"C1", b"", *body])
    assert reply == ForeignCommand("mdp01", Final(b"C1", tuple(body)))


@pytest.mark.parametrize(
    ("frames", "dialect"),
    [([b"", b"MDPW01"], "mdp01"), ([b"MDPW02"], "mdp02"), ([b"", b"MDPW02"], "majortomo")],
)
def test_workers_dialects_are_recognized(frames: Frames, dialect: str) -> None:
    heartbeat = b"\x04" if dialect == "mdp01" else b"\x05"
    ready = ForeignCommand(dialect, Ready("users"))
    assert dialects.read_worker([*frames, b"\x01", b"users"]) == ready
    assert dialects.read_worker([*frames, heartbeat]) == ForeignCommand(dialect, MdpHeartbeat())
    assert dialects.is_worker_command(frames)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "no known worker dialect"),
        ([b"MDPW01", b"\x01", b"users"], "no known worker dialect"),
        ([b"\x91"], "not a native batch"),
    ],
)
def test_invalid_commands_of_workers(frames: Frames, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message) as caught:
        dialects.read_worker(frames)
    assert type(caught.value) is RemoteProtocolError


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"", b"hello"],
        [b"", b"MDPC01", b"users", b""],
        [b"MDPC02", b"\x01", b"users", b""],
        [b"x", b"", b"MDPW02", b"\x05"],
        [b"", b'{"path": "/users"}'],
    ],
)
def test_a_client_at_the_workers_port_can_be_answered(frames: Frames) -> None:
    with pytest.raises(MalformedCall) as caught:
        dialects.read_worker(frames)
    assert caught.value.return_path.encode(OK)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ([], "mdp02: not a worker command"),
        ([b"\x07"], "mdp02: not a worker command"),
        ([b"\x04", b"C1", b"", *[b""] * 65], "65 frames"),
        ([b"\x03", b"C1", b"", *[b""] * 65], "65 frames"),
        ([b"\x04", b"C1", b""], "mdp02: not a worker command"),
        ([b"\x04", b"C1"], "mdp02: not a worker command"),
        ([b"\x04"], "mdp02: not a worker command"),
        ([b"\x01", b"no\nname"], "cannot offer b'no"),
        ([b"\x01", b"\xff"], "cannot offer"),
        ([b"\x01", b"x" * 256], "cannot offer b'xxx"),
        ([b"\x01", b"GET /users"], "cannot offer b'GET /users'"),
    ],
)
def test_a_malformed_command_has_a_dialect_for_the_disconnect(rest: Frames, message: str) -> None:
    with pytest.raises(MalformedCommand, match=message) as caught:
        dialects.read_worker([b"MDPW02", *rest])
    assert caught.value.dialect == "mdp02"


@pytest.mark.parametrize("header", [[b"", b"MDPW01", b"\x03"], [b"MDPW02", b"\x04"]])
def test_a_reply_may_lack_the_empty_frame_behind_the_address(header: Frames) -> None:
    read = dialects.read_worker([*header, b"C1", b"a", b"", b"b"])
    assert isinstance(read, ForeignCommand)
    assert read.command == Final(b"C1", (b"a", b"", b"b"))


def test_every_good_message_is_read(
    client_messages: list[Frames], worker_messages: list[Frames]
) -> None:
    for frames in client_messages:
        dialects.read(frames)
        assert not dialects.is_worker_command(frames)
    for frames in worker_messages:
        dialects.read_worker(frames)


@given(
    st.lists(st.binary(min_size=1, max_size=4), max_size=4),
    st.sampled_from(sorted(BEHIND)),
    st.lists(st.binary(max_size=4), min_size=1, max_size=4),
)
def test_bodies_cross_whatever_the_envelope(addresses: Frames, dialect: str, body: Frames) -> None:
    opening = BEHIND[dialect][0][:-1] or [b'{"path": "/users"}']
    envelope = [*addresses, b""]
    call, return_path = foreign([*envelope, *opening, *body])
    assert call.body == (body[0] if len(body) == 1 else body)
    assert return_path.envelope == tuple(envelope)
