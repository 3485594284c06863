"""Freed memory is reused: a process that serves large bodies does not fault on every page."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="this C library has no mallopt"
)

#: Prints the result, and the page faults while bodies come and go, in either heap.
PROGRAM = """
import resource, sys, threading
from trizmq.processes.allocator import keep_freed_memory

said = keep_freed_memory() if "keep" in sys.argv else None

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def serve():
    for round in range(60):
        if round == 10:
            before = faults()
        bodies = [b"x" * 2**20 for _ in range(6)]
        del bodies
    count.append(faults() - before)

count = []
serve()
thread = threading.Thread(target=serve)
thread.start()
thread.join()
print(said, *count)
"""


def run(*args: str, **environment: str) -> list[str]:
    """Run the program with only these variables of the allocator."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *args],
        capture_output=True,
        check=True,
        env=plain | environment,
        text=True,
        timeout=20,
    )
    return done.stdout.split()


def test_bodies_reuse_freed_memory() -> None:
    said, *faults = run("keep")
    assert said == "True"
    assert all(int(count) < 100 for count in faults), faults


def test_without_the_setting_each_page_is_requested_again() -> None:
    # 50 rounds, 6 bodies, 256 pages: 76,800. If this fails, glibc now does it by itself.
    _, *faults = run()
    assert all(int(count) > 10_000 for count in faults), faults


@pytest.mark.parametrize(
    "variable", ["MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"]
)
def test_variables_of_the_user_take_precedence(variable: str) -> None:
    said, *faults = run("keep", **{variable: "131072"})
    assert said == "False"
    assert all(int(count) > 10_000 for count in faults), faults


def test_tunables_of_the_user_take_precedence() -> None:
    assert run("keep", GLIBC_TUNABLES="glibc.malloc.top_pad=131072")[0] == "False"
