"""Short versions of the long runs: `nox -s soak` runs them for minutes."""

from __future__ import annotations

import pytest

from . import cuts, hosts, kills, memory

pytestmark = pytest.mark.slow


def test_no_call_is_lost_when_workers_and_the_broker_are_killed(tmp_path) -> None:
    book = kills.kill(18, tmp_path)
    assert book.faults() == []
    assert book.counts("GET") == {"200": 2700}


def test_a_handler_that_blocks_the_loop_costs_only_time(tmp_path) -> None:
    book = kills.block(10, tmp_path)
    assert book.faults() == []
    assert book.counts("GET") == book.counts("POST") == {"200": 1500}


@pytest.mark.skipif(bool(hosts.why_not()), reason=hosts.why_not())
@pytest.mark.parametrize("kind", ["killed", "stopped", "cut", "is not heard"])
def test_a_broker_that_is_lost_costs_idempotent_calls_only_time(kind, tmp_path) -> None:
    book = cuts.suffer(cuts.Mishap(kind, 3, "broker-a"), tmp_path)
    assert book.faults() == []
    assert set(book.counts("GET")) == {"200"}
    assert set(book.counts("POST")) <= {"200", "Unreachable maybe", "502 maybe"}


def test_a_client_that_never_reads_cannot_fill_the_memory(tmp_path) -> None:
    # The guarantee is 256 MiB of calls and responses; the rest is the program and malloc's reserve.
    assert memory.hoard("native", tmp_path) < 450


def test_a_worker_that_is_stopped_cannot_fill_the_memory(tmp_path) -> None:
    # 1,000 MiB are sent. Some of them are in libzmq's queue of unread messages, which is bounded in
    # messages and not in bytes.
    assert memory.pile_up(tmp_path, count=1000, size=memory.MIB) < 256
