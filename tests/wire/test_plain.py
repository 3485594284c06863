"""The dialect for any REQ socket: JSON in both directions, and raw frames for other bodies."""

from __future__ import annotations

import json
import tracemalloc
from urllib.parse import parse_qsl

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trizmq.errors import LocalProtocolError, RemoteProtocolError
from trizmq.messages import Headers
from trizmq.wire import plain
from trizmq.wire.head import MAX_HEAD
from trizmq.wire.items import Call, Response


def asked(text: str | bytes, *raw: bytes) -> Call:
    return plain.decode_request([b"", text if isinstance(text, bytes) else text.encode(), *raw])


def told(response: Response) -> tuple[object, list[bytes]]:
    empty, document, *raw = plain.encode_reply(response)
    assert empty == b""
    return json.loads(document), raw


def test_the_shortest_request() -> None:
    assert asked('{"path": "/users"}') == Call(0, 30_000, "GET", "/users", {}, b"")


def test_every_key() -> None:
    call = asked(
        '{"method": "put", "path": "/users/1?a=b", "query": {"q": "é &=", "n": 1.50, "y": true},'
        ' "headers": {"X-Tenant": " blue "}, "body": {"a": [1, null]} , "timeout": 1.5}'
    )
    target = "/users/1?a=b&q=%C3%A9+%26%3D&n=1.50&y=true"
    headers = {"x-tenant": "blue"}
    assert call == Call(0, 1500, "PUT", target, headers, b'{"a": [1, null]}')


@pytest.mark.parametrize(("raw", "body"), [([b"\xff"], b"\xff"), ([b"", b"x"], [b"", b"x"])])
def test_raw_frames_are_the_body(raw: list[bytes], body: bytes | list[bytes]) -> None:
    assert asked('{"path": "/users"}', *raw).body == body


@pytest.mark.parametrize("body", ["null", "0", '""', "[]", "1e400", "9" * 5000, '{"a":1,"a":2}'])
def test_a_json_body_passes_as_it_was_written(body: str) -> None:
    assert asked(f'{{"path": "/users", "body": {body}}}').body == body.encode()


@pytest.mark.parametrize(
    ("timeout", "ttl"),
    [("1", 1000), ("3600", 3_600_000), ("2.007", 2007), ("0.0011", 2), ("1e-9", 1), ("0.001", 1)],
)
def test_the_timeout_is_rounded_up_to_milliseconds(timeout: str, ttl: int) -> None:
    assert asked(f'{{"path": "/users", "timeout": {timeout}}}').ttl == ttl


@pytest.mark.parametrize(
    "wrong", [b"\x82", b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88\x80\x80"]
)
@pytest.mark.parametrize(
    "text",
    [
        b'{"path": "/%s"}',
        b'{"path": "/x", "method": "%s"}',
        b'{"path": "/x", "%s": 1}',
        b'{"path": "/x", "query": {"b": "%s"}}',
        b'{"path": "/x", "query": {"%s": "b"}}',
        b'{"path": "/x", "headers": {"b": "%s"}}',
        b'{"path": "/x", "headers": {"%s": "b"}}',
        b'{"path": "/x", "body": {"b": ["%s"]}}',
        b'{"path": "/x", "body": {"%s": 1}}',
    ],
)
def test_invalid_utf8_is_refused_everywhere(text: bytes, wrong: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        asked(text % wrong)


@pytest.mark.parametrize("at", [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000])
def test_a_character_may_lie_across_two_slices(at: int) -> None:
    start = b'{"path": "/x", "body": "'
    padding = b"x" * (at - len(start))
    assert (
        asked(start + padding + "é€😀".encode() + b'"}').body
        == b'"' + padding + "é€😀".encode() + b'"'
    )
    for cut in (b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"):
        with pytest.raises(RemoteProtocolError):
            asked(start + padding + cut + b'"}')


def test_a_rare_character_costs_no_memory() -> None:
    document = b'{"path": "/x", "body": "' + "😀".encode() + b"x" * 8_000_000 + b'"}'
    tracemalloc.start()
    try:
        asked(document)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000  # the body, briefly twice
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "`path`"),
        ('{"path": "/users", "colour": 1}', "unknown field `colour`"),
        ('{"path": "users"}', "path: expected"),
        ('{"path": "/a b"}', "percent-encode"),
        ('{"path": "/a\\u0000"}', "path: expected"),
        ('{"path": "/\\ud800"}', "not a plain request"),
        ('{"path": 1}', "path"),
        ('{"path": "/users", "method": "G T"}', "method: expected"),
        ('{"path": "/users", "method": null}', "method"),
        ('{"path": "/users", "headers": []}', "headers: "),
        ('{"path": "/users", "headers": {"a": 1}}', "headers: "),
        ('{"path": "/users", "headers": {"a": "b\\nc"}}', "headers: a control"),
        ('{"path": "/users", "headers": {"a b": "c"}}', "headers: not a field name"),
        ('{"path": "/users", "query": "a=b"}', "query: "),
        ('{"path": "/users", "query": {"a": null}}', "query: use"),
        ('{"path": "/users", "query": {"a": []}}', "query: use"),
        ('{"path": "/users", "query": {"a": "\\ud800"}}', "not a plain request"),
        ('{"path": "/users", "query": {"a": "\\udc00 and more"}}', "utf-16 surrogate"),
        ('{"path": "/users", "query": {"a": "\\ud800 and more"}}', "hex escape"),
        ('{"path": "/users", "query": {"a": {}}}', "query: use"),
        ('{"path": "/users", "query": {"a": NaN}}', "not a plain request"),
        ('{"path": "/users", "timeout": 0}', "timeout"),
        ('{"path": "/users", "timeout": -1}', "timeout"),
        ('{"path": "/users", "timeout": 3600.1}', "timeout"),
        ('{"path": "/users", "timeout": 1e400}', "not a plain request"),
        ('{"path": "/users", "timeout": 1' + "0" * 5000 + "}", "not a plain request"),
        ('{"path": "/users", "timeout": true}', "timeout"),
        ('{"path": "/users", "timeout": "1"}', "timeout"),
        ('{"path": "/users", "body": NaN}', "not a plain request"),
        ('{"path": "/users", "body": 01}', "not a plain request"),
        ('{"path": "/users"} x', "not a plain request"),
        ('{"path": "/users"', "not a plain request"),
        ("[]", "not a plain request"),
        ('{"path": "/users", "body": ' + "[" * 100_000, "not a plain request: maximum recursion"),
        ('{"path": "/' + "x" * MAX_HEAD + '"}', "path: "),
        ('{"path": "/users", "headers": {"a": "' + "x" * MAX_HEAD + '"}}', "headers: "),
        ('{"path": "/users", "query": {"a": "' + "x" * MAX_HEAD + '"}}', "query: "),
        ('{"path": "/users", "' + "x" * 9999 + '": 1}', "unknown field"),
        (b'{"path": "/\xff"}', "not a plain request"),
        (b'\xef\xbb\xbf{"path": "/users"}', "not a plain request"),
    ],
)
def test_refusals_have_short_messages(text: str | bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message) as caught:
        asked(text)
    assert len(str(caught.value)) < 300


def test_a_body_is_given_once() -> None:
    with pytest.raises(RemoteProtocolError, match="body: given twice"):
        asked('{"path": "/users", "body": null}', b"")


@pytest.mark.parametrize("frames", [[], [b""], [b"{}"], [b"x", b"{}"]])
def test_the_delimiter_and_the_object_must_be_there(frames: list[bytes]) -> None:
    for decode in (plain.decode_request, plain.decode_reply):
        with pytest.raises(RemoteProtocolError, match="expected an empty frame"):
            decode(frames)


@pytest.mark.parametrize("key", ["body", "headers", "query"])
def test_objects_without_end_cost_no_memory(key: str) -> None:
    text = f'{{"path": "/users", "{key}": [' + "{}," * 1_000_000 + "{}]}"
    payload = text.encode()
    tracemalloc.start()
    try:
        if key == "body":
            plain.decode_request([b"", payload])
        else:
            with pytest.raises(RemoteProtocolError):
                plain.decode_request([b"", payload])
        assert tracemalloc.get_traced_memory()[1] < 2 * len(payload)
    finally:
        tracemalloc.stop()


JSON_TYPE = {"content-type": "application/json"}
PROBLEM = {"content-type": "application/problem+json"}
ETAG = {"etag": "1"}
TEXT = {"content-type": "text/plain"}


@pytest.mark.parametrize(
    ("response", "document", "raw"),
    [
        (Response(1, 200, {}, b"[1]"), {"status": 200, "body": [1]}, []),
        (Response(1, 200, JSON_TYPE, b" null "), {"status": 200, "body": None}, []),
        (Response(1, 204, {}, b""), {"status": 204}, []),
        (Response(1, 200, {}, []), {"status": 200}, []),
        (Response(1, 200, ETAG, b"1"), {"status": 200, "headers": ETAG, "body": 1}, []),
        (Response(1, 404, PROBLEM, b"{}"), {"status": 404, "headers": PROBLEM, "body": {}}, []),
        (Response(1, 200, TEXT, b"1"), {"status": 200, "headers": TEXT}, [b"1"]),
        (Response(1, 200, {}, [b"1", b""]), {"status": 200}, [b"1", b""]),
        (Response(1, 200, {}, b"no json"), {"status": 200}, [b"no json"]),
        (Response(1, 200, JSON_TYPE, b"{"), {"status": 200, "headers": JSON_TYPE}, [b"{"]),
        (Response(1, 200, {}, b'"\xff"'), {"status": 200}, [b'"\xff"']),
        (Response(1, 200, {}, b'"\\ud800"'), {"status": 200}, [b'"\\ud800"']),
        (Response(1, 200, {}, b"NaN"), {"status": 200}, [b"NaN"]),
        (Response(1, 200, {}, b'1}, "status": {'), {"status": 200}, [b'1}, "status": {']),
        (Response(1, 200, {}, b"[" * 99_999), {"status": 200}, [b"[" * 99_999]),
    ],
)
def test_the_format_of_a_reply(response: Response, document: object, raw: list[bytes]) -> None:
    assert told(response) == (document, raw)


# Without surrounding white space, which JSON bodies lose in transit.
frames = st.binary(max_size=9).map(bytes.strip) | st.sampled_from(
    [b"{}", b"[1]", b'"', b'"\xff"', b"nul", b"1e5"]
)
bodies = frames | st.lists(frames, min_size=2, max_size=3)
types = st.sampled_from(["application/json", "text/plain", "a/b+json", "APPLICATION/JSON; x=y"])
headers = st.dictionaries(st.just("content-type"), types) | st.just({"etag": "1"})


@given(st.integers(100, 599), headers, bodies)
def test_replies_are_read_back(
    status: int, headers: dict[str, str], body: bytes | list[bytes]
) -> None:
    _, document, *_ = sent = plain.encode_reply(Response(0, status, headers, body))
    orjson.loads(document)  # always valid
    reply = plain.decode_reply(sent)
    assert reply.status == status
    assert reply.body == body
    if len(sent) > 2 or headers != JSON_TYPE:
        assert reply.headers == headers


@given(
    st.integers(1, 3_600_000) | st.sampled_from([2007, 2011]),  # not exact as float seconds
    st.from_regex(r"/[a-zé0-9%/?&=]{0,20}", fullmatch=True),
    headers,
    bodies,
)
def test_requests_are_read_back(
    ttl: int, target: str, headers: dict[str, str], body: bytes | list[bytes]
) -> None:
    call = Call(0, ttl, "POST", target, headers, body)
    sent = plain.encode_request(call)
    assert plain.decode_request(sent) == call


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.integers() | st.text("aé&=+ %")
    )
)
def test_a_query_is_converted_from_the_object(query: dict[str, object]) -> None:
    document = orjson.dumps({"path": "/users", "query": {k: str(v) for k, v in query.items()}})
    _, _, query_string = asked(document).target.partition("?")
    pairs = parse_qsl(query_string, keep_blank_values=True)
    assert pairs == [(name, str(value)) for name, value in query.items()]


@pytest.mark.parametrize(
    "text", ['{"status": 99}', '{"status": "200"}', "{}", "[]", '{"status": 200, "headers": 1}']
)
def test_invalid_replies(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="not a plain reply"):
        plain.decode_reply([b"", text.encode()])


def test_unknown_keys_of_a_later_broker_are_ignored() -> None:
    assert plain.decode_reply([b"", b'{"status": 200, "new": 1}']) == Response(0, 200, {}, b"")


@pytest.mark.parametrize(
    "call",
    [
        Call(1, 0, "GET", "/users", {}, b""),
        Call(1, 3_600_001, "GET", "/users", {}, b""),
        Call(1, 1, "GET", "users", {}, b""),
        Call(1, 1, "GET", "/users", {"a": "b\nc"}, b""),
    ],
)
def test_invalid_requests_are_refused(call: Call) -> None:
    with pytest.raises(LocalProtocolError):
        plain.encode_request(call)


@pytest.mark.parametrize("body", [b"\xff", [b"1", b"2"], [b"", b""], [b"{}", b""]])
def test_frames_without_a_type_have_no_headers(body: bytes | list[bytes]) -> None:
    frames = body if isinstance(body, list) else [body]
    assert told(Response(0, 200, Headers(), body)) == ({"status": 200}, frames)
    assert told(Response(0, 200, {}, body)) == ({"status": 200}, frames)


@pytest.mark.parametrize("kind", ["application/json", "text/csv", "application/x; a=b"])
def test_the_type_of_several_frames_survives_both_ways(kind: str) -> None:
    headers = Headers({"content-type": kind})
    document = {"status": 200, "headers": {"content-type": kind}}
    assert told(Response(0, 200, headers, [b"[1,", b"2]"])) == (document, [b"[1,", b"2]"])
    call = asked(f'{{"path": "/x", "headers": {{"Content-Type": "{kind}"}}}}', b"[1,", b"2]")
    assert (call.headers, call.body) == ({"content-type": kind}, [b"[1,", b"2]"])
