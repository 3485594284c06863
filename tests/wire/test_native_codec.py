"""The native dialect: items are read back, and invalid messages are refused."""

from __future__ import annotations

import copy
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq.errors import LocalProtocolError, RemoteProtocolError
from trizmq.messages import Principal
from trizmq.wire import native
from trizmq.wire.items import (
    MAX_BODY_FRAMES,
    Call,
    Cancel,
    Credit,
    Goaway,
    Heartbeat,
    Hello,
    Item,
    Part,
    Response,
)

SMALL = b"x" * native.LARGE
LARGE = SMALL + b"x"

ids = st.integers(0, 2**64 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
headers = st.dictionaries(text, text, max_size=3)
frame = st.binary(max_size=8) | st.sampled_from([SMALL, LARGE])
body = frame | st.lists(frame, min_size=2, max_size=4)
items = st.one_of(
    st.builds(Hello, ids, text, ids, st.lists(text, max_size=3).map(tuple)),
    st.builds(
        Call,
        ids,
        st.integers(-(2**31), 2**31),
        text,
        text,
        headers,
        body,
        st.none() | st.builds(Principal, text, st.frozensets(text, max_size=2)),
    ),
    st.builds(Cancel, ids),
    st.builds(Response, ids, st.integers(100, 599), headers, body),
    st.builds(Part, ids, ids, body),
    st.builds(Credit, ids, ids),
    st.builds(Heartbeat),
    st.builds(Goaway, text),
)


@given(st.lists(items, min_size=1, max_size=native.BATCH))
def test_items_are_read_back_and_not_changed(batch: list[Item]) -> None:
    before = copy.deepcopy(batch)
    frames = native.encode(batch)
    assert native.decode(frames) == before
    assert batch == before


def test_every_item_in_one_batch(every_item: list[Item]) -> None:
    assert native.decode(native.encode(every_item)) == every_item


def test_a_large_body_travels_as_a_frame_without_a_copy() -> None:
    frames = native.encode([Part(1, 0, LARGE), Part(1, 1, SMALL)])
    assert len(frames) == 2
    assert frames[1] is LARGE


def test_a_body_with_one_large_frame_travels_apart_as_a_whole() -> None:
    frames = native.encode([Heartbeat(), Part(1, 0, [b"a", LARGE, b""])])
    assert frames[1:] == [b"a", LARGE, b""]


def test_a_body_without_frames_is_read_back_as_that() -> None:
    assert native.decode(native.encode([Part(1, 0, [])])) == [Part(1, 0, [])]


def test_every_first_byte_that_encode_makes_is_known() -> None:
    for count in [1, 15, 16, native.MAX_ITEMS]:
        assert native.encode([Heartbeat()] * count)[0][:1] in native.FIRST_BYTES


def test_fields_added_at_the_end_by_a_later_version_are_ignored() -> None:
    frames = [msgspec.msgpack.encode([[6, 0, "more"], [2, 1, {"new": [1]}]])]
    assert native.decode(frames) == [Heartbeat(), Cancel(1)]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([b"\x90"], "length >= 1"),
        ([msgspec.msgpack.encode([[6]] * (native.MAX_ITEMS + 1))], "length <= 256"),
        ([msgspec.msgpack.encode([[6]]), b"x"], "1 frames do not belong"),
        ([msgspec.msgpack.encode([[4, 1, 0, 1]])], "0 are left"),
        ([msgspec.msgpack.encode([[4, 1, 0, 2], [4, 1, 0, 2]]), b"", b"", b""], "1 are left"),
        ([msgspec.msgpack.encode([[4, 1, 0, 1]]), b"x", b"y"], "1 frames do not belong"),
        ([msgspec.msgpack.encode([[4, 1, 0, 0]])], ">= 1"),
        ([msgspec.msgpack.encode([[4, 1, 0, -1]]), b"x"], ">= 1"),
        ([msgspec.msgpack.encode([[4, 1, 0, 2**64 - 1]]), b"x"], "<= 1024"),
        ([msgspec.msgpack.encode([[4, 1, 0, None]])], "not a native batch"),
        ([msgspec.msgpack.encode([[4, 1, 0]])], "not a native batch"),
        ([msgspec.msgpack.encode([[99, 1]])], "not a native batch"),
        ([msgspec.msgpack.encode([[6]]) + b"x"], "not a native batch"),
        ([b""], "not a native batch"),
        ([], "not a native batch"),
        ([b"\x91\x92\x07\xa2\xff\xff"], "not a native batch: 'utf-8'"),  # not UTF-8
        ([b"\x91\x93\x06\x00" + b"\x91" * 100_000], "not a native batch: maximum recursion"),
        ([msgspec.msgpack.encode([[0, 1, "i", 0, [""] * 100_001]])], "length <= 100000"),
    ],
)
def test_invalid_messages_are_refused(frames: list[bytes], message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        native.decode(frames)


def test_every_shortening_is_refused(every_item: list[Item]) -> None:
    frames = native.encode(every_item)
    for length in range(1, len(frames)):
        with pytest.raises(RemoteProtocolError):
            native.decode(frames[:length])
    for length in range(len(frames[0])):
        with pytest.raises(RemoteProtocolError):
            native.decode([frames[0][:length], *frames[1:]])


@pytest.mark.parametrize(
    "batch",
    [
        b"\xdd\x7f\xff\xff\xff",
        b"\x91\x94\x04\x01\x02\xdd\x7f\xff\xff\xff",
        b"\x91\x94\x04\x01\x02\xc6\x7f\xff\xff\xff",
        b"\x91\x95\x03\x01\x02\xdf\x7f\xff\xff\xff",
        b"\x91\x95\x00\x01\xa1a\x00\xdd\x7f\xff\xff\xff",
        b"\x91\x92\x06\xdd\x7f\xff\xff\xff",
    ],
)
def test_a_length_that_lies_costs_no_memory(batch: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RemoteProtocolError):
            native.decode([batch])
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "batch",
    [
        [],
        [Goaway("\ud800")],
        [Cancel(2**64)],
        [Cancel(-(2**64))],
        [Part(1, 0, [b""] * (MAX_BODY_FRAMES + 1))],
        [Part(n, 0, [LARGE] + [b""] * (MAX_BODY_FRAMES // 2)) for n in (1, 2)],
        [Hello(1, object())],  # type: ignore[arg-type]  # from a careless caller
    ],
)
def test_an_item_that_cannot_be_encoded_is_a_local_error(batch: list[Item]) -> None:
    with pytest.raises(LocalProtocolError):
        native.encode(batch)
