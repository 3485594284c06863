"""Peers of other implementations, as processes."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PEERS = Path(__file__).parent / "peers"

needs_pyzmq_mdp = pytest.mark.skipif(
    find_spec("mdp") is None,
    reason="pyzmq-mdp 0.2 (2013) is not installed: `nox -s tests-3.11` builds it",
)


@pytest.fixture
def start():
    """``start(script, *args)``: a peer in a separate process, ended after the test."""
    processes: list[subprocess.Popen] = []

    def start(script: str, *args: str) -> subprocess.Popen:
        command = [sys.executable, str(PEERS / f"{script}.py"), *args]
        processes.append(subprocess.Popen(command))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
