"""A response in parts, for a caller that wants it whole: complete and in order, or an error."""

from __future__ import annotations

import pytest

from trizmq.client.parts import MAX_BYTES
from trizmq.errors import RemoteProtocolError
from trizmq.wire.items import Cancel, Goaway, Part, Response


@pytest.fixture
def rig(make_client):
    rig = make_client()
    rig.welcome(*rig.links)
    return rig


def test_the_parts_come_before_the_body(rig) -> None:
    (link,) = rig.links
    pending = rig.submit()
    rig.receive(link, Part(pending.id, 0, b"a"), Part(pending.id, 1, [b"b", b"c"]))
    assert not pending.ended
    rig.receive(link, Part(pending.id, 2, b""), Response(pending.id, 200, {}, b"d"))
    assert pending.outcome.body == b"abcd"
    rig.assert_nothing_is_left()


@pytest.mark.parametrize("seqs", [(1,), (0, 2), (0, 0), (-1,)])
def test_a_missing_part_is_an_error_and_the_call_is_cancelled(rig, seqs) -> None:
    (link,) = rig.links
    pending = rig.submit()
    rig.sent(link)
    for seq in seqs:
        rig.receive(link, Part(pending.id, seq, b""))
    assert isinstance(pending.outcome, RemoteProtocolError)
    assert pending.outcome.executed == "maybe"
    assert rig.sent(link) == [Cancel(pending.id)]
    rig.receive(link, Part(pending.id, 1, b""), Response(pending.id, 200, {}, b""))
    assert rig.client.calls.late == 2
    rig.assert_nothing_is_left()


def test_parts_over_the_limit_of_a_body_are_an_error(rig) -> None:
    (link,) = rig.links
    pending = rig.submit()
    rig.receive(link, Part(pending.id, 0, bytes(MAX_BYTES)))
    assert not pending.ended
    rig.receive(link, Part(pending.id, 1, b"x"))
    assert isinstance(pending.outcome, RemoteProtocolError)


def test_an_error_comes_without_the_parts_before_it(rig) -> None:
    (link,) = rig.links
    pending = rig.submit()
    rig.receive(link, Part(pending.id, 0, b"half"), Response(pending.id, 500, {}, b"{}"))
    assert pending.outcome.body == b"{}"


def test_a_repeated_call_begins_with_the_first_part(rig) -> None:
    (link,) = rig.links
    pending = rig.submit("GET")
    rig.receive(link, Part(pending.id, 0, b"half"), Goaway("unknown"))
    rig.welcome(link, broker="another")
    rig.receive(link, Part(pending.id, 0, b"all"), Response(pending.id, 200, {}, b""))
    assert pending.outcome.body == b"all"


@pytest.mark.parametrize("came", [0, 1, 3])
def test_an_end_with_a_different_number_of_parts_is_an_error(rig, came) -> None:
    (link,) = rig.links
    pending = rig.submit()
    for seq in range(came):
        rig.receive(link, Part(pending.id, seq, b"x"))
    rig.receive(link, Response(pending.id, 200, {}, b"", parts=2))
    assert isinstance(pending.outcome, RemoteProtocolError)
    rig.assert_nothing_is_left()


def test_an_end_with_the_number_of_received_parts_is_a_response(rig) -> None:
    (link,) = rig.links
    pending = rig.submit()
    rig.receive(link, Part(pending.id, 0, b"x"), Response(pending.id, 200, {}, b"y", parts=1))
    assert pending.outcome.body == b"xy"


def test_an_exception_in_the_client_ends_only_its_call(rig) -> None:
    (link,) = rig.links
    first, second = rig.submit(), rig.submit()
    rig.receive(
        link,
        Part(first.id, 0, 5),  # the codec never returns this
        Response(second.id, 200, {}, b""),
    )
    assert second.outcome.status == 200
    assert first.ended
    assert "an error in this client" in str(first.outcome)
