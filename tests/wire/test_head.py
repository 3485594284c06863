"""The service frame: a service name or a request line, header fields, and no hidden content."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq.errors import LocalProtocolError, RemoteProtocolError
from trizmq.wire import head
from trizmq.wire.head import MAX_HEAD, Head


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (b"users", Head("POST", "/users", {})),
        (b"mmi.service", Head("POST", "/mmi.service", {})),
        (b"GET", Head("POST", "/GET", {})),
        (b"GET /users/1?x=1", Head("GET", "/users/1?x=1", {})),
        (b"get /", Head("GET", "/", {})),
        (b"GET /users\nX-Token: Bearer a", Head("GET", "/users", {"x-token": "Bearer a"})),
        (b"users\r\na:b\r\nA:\t c \r\n", Head("POST", "/users", {"a": "b, c"})),
        (b"users\n", Head("POST", "/users", {})),
        (b"users\nempty:", Head("POST", "/users", {"empty": ""})),
        ("GET /é\nname: Zoë".encode(), Head("GET", "/é", {"name": "Zoë"})),
        (b"M-SEARCH /users", Head("M-SEARCH", "/users", {})),
        (b"my service", Head("POST", "/my%20service", {})),
        (b"my service\na: b", Head("POST", "/my%20service", {"a": "b"})),
        (b"a/b", Head("POST", "/a%2Fb", {})),
        (b"/users", Head("POST", "/%2Fusers", {})),
        (b" users", Head("POST", "/%20users", {})),
        (b"echo@1", Head("POST", "/echo%401", {})),
        (b"%41", Head("POST", "/%2541", {})),
        (b"who?x=1", Head("POST", "/who%3Fx%3D1", {})),
        ("größe".encode(), Head("POST", "/gr%C3%B6%C3%9Fe", {})),
        (b"x" * 255, Head("POST", f"/{quote('x' * 255)}", {})),
        # Not request lines: the space, the slash or the method is wrong.
        (b"GET users", Head("POST", "/GET%20users", {})),
        (b"GET  /users", Head("POST", "/GET%20%20%2Fusers", {})),
        (b"1GT /users", Head("POST", "/1GT%20%2Fusers", {})),
        (b"ABCDEFGHIJKLMNOPQ /", Head("POST", "/ABCDEFGHIJKLMNOPQ%20%2F", {})),
        ("\u017fET /".encode(), Head("POST", "/%C5%BFET%20%2F", {})),  # upper() would create an S
    ],
)
def test_decoding_service_frames(frame: bytes, expected: Head) -> None:
    assert head.read(frame) == expected


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\n",
        b"x" * 256,
        "é".encode() * 128,
        "a\u0085".encode(),
        b"users\r",
        b"users\n\n",
        b"users\n\na: b",
        b"GET /a b",
        b"GET /users HTTP/1.1",
        b"GET /a\x00",
        b"GET /a\tb",
        b"GET /a\x7f",
        b"GET /\xff",
        "GET /a\u0085".encode(),
        "GET /a\u2028".encode(),
        b"users\nno colon",
        b"users\n: no name",
        b"users\nna me: x",
        b"users\nname : x",
        b"users\n folded: x",
        b"users\na: b\x00c",
        b"users\na: b\rc: d",
        "users\nto\u212aen: x".encode(),  # lower() would create an ASCII k
        b"users\na: " + b"x" * MAX_HEAD,
    ],
)
def test_invalid_service_frames(frame: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        head.read(frame)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "bad",
    [
        Head("GET", "/a\nb: c", {}),
        Head("GET", "/\ud800", {}),
        Head("GET", "users", {}),
        Head("", "/users", {}),
        Head("GET", "/users", {"a": "b\nc: d"}),
        Head("GET", "/users", {"a\nb": "c"}),
        Head("GET", "/users", {"a": "b" * MAX_HEAD}),
    ],
)
def test_invalid_heads_are_not_encoded(bad: Head) -> None:
    with pytest.raises(LocalProtocolError):
        head.write(bad)


def test_a_bare_service_is_written_bare() -> None:
    assert head.write(Head("POST", "/users", {})) == b"users"
    assert head.write(Head("post", "/users", {"A": " b "})) == b"users\na: b"
    assert head.write(Head("POST", "/users/1", {})) == b"POST /users/1"
    assert head.write(Head("POST", "/my%20service", {})) == b"my service"
    assert head.write(Head("POST", "/%75sers", {})) == b"POST /%75sers"
    assert head.write(Head("POST", "/GET%20%2F", {})) == b"POST /GET%20%2F"
    assert head.write(Head("POST", "/%ff", {})) == b"POST /%ff"


seen = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
heads = st.builds(
    Head,
    st.from_regex(r"[A-Z]{1,16}", fullmatch=True),
    st.text(seen, max_size=20).map(lambda text: "/" + text.replace(" ", "")),
    st.dictionaries(
        st.from_regex(r"[a-z0-9-]{1,9}", fullmatch=True),
        st.text(seen, max_size=20).map(lambda text: text.strip(" ")),
        max_size=3,
    ),
)


@given(heads)
def test_an_encoded_head_is_read_back(given_head: Head) -> None:
    assert head.read(head.write(given_head)) == given_head


@given(st.binary(max_size=30) | st.text("aG /:\r\n\t\x00é", max_size=12).map(str.encode))
def test_a_decoded_head_can_be_encoded(frame: bytes) -> None:
    try:
        first = head.read(frame)
    except RemoteProtocolError:
        return
    assert head.read(head.write(first)) == first
